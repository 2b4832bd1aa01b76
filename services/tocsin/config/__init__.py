"""Settings from the file, the environment and the defaults, each with where it came from."""

from tocsin.config.expansion import ConfigError
from tocsin.config.loading import Loaded, context, load
from tocsin.config.variables import CONFIG_VARIABLE, as_environment, variable_name

__all__ = ["CONFIG_VARIABLE", "ConfigError", "Loaded", "as_environment", "context", "load", "variable_name"]
