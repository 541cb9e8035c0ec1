from . import context as context
