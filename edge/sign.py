"""Sign a bundle, and make the keys for it."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path

from .bundle import MANIFEST, MANIFEST_LIMIT_BYTES, Bundle
from .errors import BundleRefused, InvalidConfiguration
from .files import sync_folder, write_whole
from .folder import held
from .keys import KeyPair, PrivateKey
from .signature import SIGNATURE, Signature


def sign_bundle(folder: Path, key: PrivateKey) -> Bundle:
    """Check the bundle in `folder`, then write its manifest.sig, in place of an earlier one if there is one.

    Returns:
        The bundle as it is now, its signature verified.

    Raises:
        BundleRefused: the bundle is not whole, or changed meanwhile; it is left as it was.
        InvalidConfiguration: the signature cannot be written.
    """
    folder = folder.resolve()
    bundle = Bundle.open(folder)
    with held(folder) as files:
        manifest = files.read(MANIFEST, MANIFEST_LIMIT_BYTES)
    if hashlib.sha256(manifest).hexdigest() != bundle.digest:
        raise BundleRefused(f"bundle {folder} changed while it was being signed; sign it again")
    signature = Signature(key.public.id, key.sign(manifest))
    try:
        # Prepared beside the bundle: in it, whoever loads the bundle meanwhile would find a file too many.
        write_whole(folder / SIGNATURE, signature.line(), prepare_in=folder.parent)
    except OSError as error:
        raise InvalidConfiguration(
            f"{folder}: cannot be signed ({error.strerror}): its files and the folder above must be writable"
        ) from error
    return Bundle(folder, bundle.manifest, bundle.digest, bundle.contents, signature, verified=True)


def write_keys(path: Path, pair: KeyPair) -> Path:
    """Write the private key to `path`, for its owner's eyes only, and the public key beside it. Replaces nothing.

    Returns:
        The public key's path: `path` with `.pub` after it.

    Raises:
        InvalidConfiguration: one of the two exists, or cannot be written; nothing is left behind.
    """
    if not path.name:
        raise InvalidConfiguration(f"{path}: is a folder; give the name of a file with --output")
    public = path.with_name(f"{path.name}.pub")
    try:
        with ExitStack() as undo:
            for target, content, mode in ((path, pair.private_pem, 0o600), (public, pair.public_pem, 0o644)):
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                undo.callback(target.unlink, missing_ok=True)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
            sync_folder(path.parent)
            undo.pop_all()
    except FileExistsError as error:
        raise InvalidConfiguration(
            f"{target}: exists, and no key is ever overwritten; give another --output"
        ) from error
    except OSError as error:
        raise InvalidConfiguration(f"{target}: cannot be written ({error.strerror}); give another --output") from error
    return public
