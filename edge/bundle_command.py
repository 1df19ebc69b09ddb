"""`bonedge bundle`: look at a model bundle, check it, sign it; no model in it is ever run."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import click

from .bundle import Bundle, open_bundle
from .bundle_report import describe, print_sheet, printable, signature, signature_sentence
from .config import read_settings
from .errors import BundleRefused, InvalidConfiguration
from .keys import KEY_FILE_LIMIT_BYTES, generate, read_private_key
from .options import PLACE
from .sign import sign_bundle, write_keys
from .trust import Trust

_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
_passphrase_file = click.option(
    "--passphrase-file",
    type=PLACE,
    help="File whose first line is the private key's passphrase.",
)
_trusted = click.option("--key", type=PLACE, help="Public key that must have signed the bundle.")


@click.group("bundle")
def command() -> None:
    """Show, verify and sign a model bundle; make signing keys.

    No model is run, and no engine is loaded.
    """


@command.command("show", short_help="Say what a bundle is.")
@click.argument("folder", required=False, type=PLACE, metavar="[BUNDLE]")
@_trusted
@_as_json
def show(folder: Path | None, key: Path | None, as_json: bool) -> None:
    """Say what BUNDLE is: version, networks, files, training data, thresholds, signature, model card.

    Without BUNDLE, the one that came with bonedge. It is checked first: what is shown is what would be loaded.
    """
    bundle = open_bundle(folder, Trust(key))
    document = describe(bundle)
    if as_json:
        click.echo(json.dumps(document))
    else:
        print_sheet(document)


@command.command("verify", short_help="Check a bundle: whole, unaltered, signed, recent enough.")
@click.argument("folder", type=PLACE, metavar="BUNDLE")
@_trusted
@click.option("--minimum-version", metavar="V", help="Refuse an older bundle.")
@click.option("--config", type=PLACE, help="TOML file with a [bundle] table; options win over it.")
@_as_json
def verify(folder: Path, key: Path | None, minimum_version: str | None, config: Path | None, as_json: bool) -> None:
    """Check that BUNDLE is whole, unaltered and, where that is demanded, signed and recent enough.

    Exit code 0 when `bonedge predict` with the same demands would load it, 4 when it would refuse it.
    """
    trust = read_settings(config).bundle.trust(key, minimum_version)
    try:
        bundle = Bundle.open(folder, trust=trust)
    except BundleRefused as error:
        if as_json:
            fault = {"kind": type(error).__name__, "message": str(error)}
            click.echo(json.dumps({"ok": False, "folder": click.format_filename(folder), "error": fault}))
        raise
    manifest, found = bundle.manifest, signature(bundle)
    if as_json:
        identity = {"name": manifest.name, "version": manifest.version, "digest": bundle.digest}
        click.echo(json.dumps({"ok": True, "folder": click.format_filename(folder), **identity, "signature": found}))
    else:
        size = sum(map(len, bundle.contents.values())) / 1e6
        click.echo(
            f"{manifest.name} {printable(manifest.version)}: {len(manifest.files)} files ({size:.1f} MB) as listed"
        )
        click.echo(f"digest {bundle.digest}\n{signature_sentence(found)}")


@command.command("sign", short_help="Check a bundle, then write a signature into it.")
@click.argument("folder", type=PLACE, metavar="BUNDLE")
@click.option("--key", type=PLACE, required=True, help="Private key, of 'bonedge bundle keygen'.")
@_passphrase_file
@_as_json
def sign(folder: Path, key: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Check BUNDLE, then vouch for it: write manifest.sig into it, in place of an earlier signature."""
    private = read_private_key(key, lambda: _passphrase(passphrase_file, lambda: _ask(key)))
    if passphrase_file is not None and not private.encrypted:
        click.echo(f"{click.format_filename(key)} is not encrypted: --passphrase-file was not needed.", err=True)
    _warn_if_others_read(key)
    bundle = sign_bundle(folder, private)
    if as_json:
        document = {"folder": click.format_filename(folder), "digest": bundle.digest, "signature": signature(bundle)}
        click.echo(json.dumps(document))
    else:
        click.echo(f"{bundle.manifest.name} {printable(bundle.manifest.version)}: signed by {private.public.id}")


@command.command("keygen", short_help="Make a key pair to sign with.")
@click.option("--output", type=PLACE, required=True, metavar="NAME", help="Of the private key.")
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase to encrypt the private key with.")
@_passphrase_file
@_as_json
def keygen(output: Path, passphrase: bool, passphrase_file: Path | None, as_json: bool) -> None:
    """Make an Ed25519 key pair: the private key in NAME, the public key in NAME.pub.

    Nothing is overwritten. Without a passphrase the private key is protected by its file mode alone.
    """
    if passphrase and passphrase_file is not None:
        raise click.UsageError("--passphrase asks for what --passphrase-file gives; give one of them")
    secret = _passphrase(passphrase_file, _ask_for_new) if passphrase or passphrase_file is not None else None
    pair = generate(secret)
    public = write_keys(output, pair)
    if as_json:
        paths = {"private": click.format_filename(output), "public": click.format_filename(public)}
        click.echo(json.dumps({"key_id": pair.id, **paths, "encrypted": secret is not None}))
        return
    click.echo(f"key {pair.id}\nprivate: {click.format_filename(output)}\npublic: {click.format_filename(public)}")
    if secret is None:
        click.echo("The private key is not encrypted: whoever reads that file can sign.", err=True)


def _passphrase(path: Path | None, ask: Callable[[], str]) -> bytes:
    """The first line of `path`, or what `ask` answers."""
    if path is None:
        return ask().encode()
    try:
        with path.open("rb") as file:
            found = file.readline(KEY_FILE_LIMIT_BYTES).rstrip(b"\r\n")
    except OSError as error:
        raise InvalidConfiguration(
            f"{path}: the passphrase cannot be read ({error.strerror}); give another --passphrase-file"
        ) from error
    if not found:
        raise InvalidConfiguration(f"{path}: its first line is empty; write the passphrase there")
    return found


def _ask(key: Path) -> str:
    if not sys.stdin.isatty():
        raise InvalidConfiguration(f"{key}: is encrypted; give --passphrase-file, or sign at a terminal")
    answer: str = click.prompt(f"Passphrase of {click.format_filename(key)}", hide_input=True, err=True)
    return answer


def _ask_for_new() -> str:
    if not sys.stdin.isatty():
        raise InvalidConfiguration("there is no terminal to ask for a passphrase; give --passphrase-file")
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _warn_if_others_read(key: Path) -> None:
    mode = key.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        click.echo(f"{click.format_filename(key)} can be read by others: chmod 600 it", err=True)
