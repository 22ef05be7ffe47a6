"""`sioserver doctor`: what a running configuration is asked, and what its answers mean.

Two kinds of modules: those named `look_*` gather facts (files, sockets, other servers) and judge
nothing; all others are pure, and turn facts into findings. `examination` puts them together.
"""
