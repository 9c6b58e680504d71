"""How some lines of the node's log begin, for those who read it."""

RESET = 'stream reset, everything seen is forgotten: '
INVALID = 'invalid frame: '
