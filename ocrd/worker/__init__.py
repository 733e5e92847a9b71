"""One job from claim to done.  Sees its neighbours only through Protocols."""
