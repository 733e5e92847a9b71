"""One job from claim to done."""
