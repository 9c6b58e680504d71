"""How some lines of the node's log begin, for those who read it."""

NOT_LOADED = 'the model cannot be loaded: '
RESET = 'stream reset, everything seen is forgotten: '
INVALID = 'invalid frame: '
