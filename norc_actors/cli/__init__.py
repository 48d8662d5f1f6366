"""The `norc` command: one file per group of commands, thin over the client library and the control socket."""
