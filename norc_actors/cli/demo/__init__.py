"""The demo: a node and the devices of three people as real processes, under fire, and an account of every message.

`plan` (pure) says who sends what to whom and what is killed when; `device` is the program of one device;
`node_process` starts, kills and restarts the node; `ledger` (pure) holds what was sent against what each device's
application saw; `report` shows it; `run` plays it all.
"""
