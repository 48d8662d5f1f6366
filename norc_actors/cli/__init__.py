"""The `norc` command: one file per group of commands, each thin over the client library or the node's control socket."""
