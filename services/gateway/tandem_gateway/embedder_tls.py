"""Part of the composition root: the certificates for https to the embedders, from the settings."""

import logging
from pathlib import Path

from tandem_gateway.adapters.http.tls import Tls, TlsFiles
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError
from tandem_runtime.tls_files import InvalidTlsFiles

log = logging.getLogger(__name__)


def load_tls(settings: Settings) -> Tls | None:
    """Return the certificates for https; None if no embedder has such a URL. Blocks.

    Raises:
        SettingsError: names the variable and what is wrong with its file.
    """
    secure = [url.startswith("https://") for url in settings.embedder_urls]
    if not any(secure):
        return None
    if not all(secure):
        log.warning("texts go unencrypted to the embedders whose URL begins with http://")
    given = (settings.embedder_ca_file, settings.embedder_client_cert_file, settings.embedder_client_key_file)
    files = TlsFiles(*(Path(name) if name else None for name in given))
    variables = {
        files.ca: "TANDEM_EMBEDDER_CA_FILE",
        files.certificate: "TANDEM_EMBEDDER_CLIENT_CERT_FILE",
        files.key: "TANDEM_EMBEDDER_CLIENT_KEY_FILE",
    }
    try:
        return Tls(files)
    except InvalidTlsFiles as error:
        raise SettingsError(f"{variables[error.path]}={str(error.path)!r}: {error}") from error
