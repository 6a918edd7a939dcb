"""Part of the composition root: the token for the embedders, from the settings."""

from pathlib import Path

from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError
from tandem_runtime.tokens import InvalidTokens, Tokens


def load_tokens(settings: Settings) -> Tokens:
    """Return the token that the gateway sends to embedders; blocks.

    Raises:
        SettingsError: the file cannot be used.
    """
    file = settings.embedder_token_file
    try:
        return Tokens(settings.embedder_token, Path(file) if file else None)
    except InvalidTokens as error:
        raise SettingsError(f"TANDEM_EMBEDDER_TOKEN_FILE={file!r}: {error}") from error
