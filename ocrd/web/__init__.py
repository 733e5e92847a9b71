"""`ocrd web`: HTTP for programs and a page for people, in a process beside the daemon."""
