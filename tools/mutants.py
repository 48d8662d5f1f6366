"""`make mutants`: take each defence away in turn and see the test that names it fail.

    python -m tools.mutants [-k TEXT] [--list]

`DEFENCES` has one row per check: its file, its text, the text without the defence, and the test that must then fail.
Each mutant is made in a copy of the sources in a temporary directory; the working tree is never touched. First every
named test has to pass as things are. A mutant that survives, or a row whose text is gone, is exit code 1.

`tests/test_defences.py` holds the table to the sources in every test run, without running the mutants.
"""

# ruff: noqa: E501 - rows quote whole lines of the sources

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("norc_actors", "supervision", "tests", "tools", "pyproject.toml")
CRYPTO, PROTOCOL, ACTORS = "norc_actors/crypto", "norc_actors/protocol", "norc_actors/actors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """One check: what it is, where, and the test that has to notice when it is gone."""

    name: str
    file: str
    text: str
    without: str
    test: str


def _rows(file: str, *rows: tuple[str, str, str, str]) -> list[Defence]:
    return [Defence(name=name, file=file, text=text, without=without, test=test) for name, text, without, test in rows]


THREATS, ATTACKS = "tests/protocol/test_threats.py", "tests/protocol/test_attacks.py"
HANDSHAKE, RELAY = "tests/protocol/test_handshake.py", "tests/protocol/test_relay.py"
LINK, OPENING = "tests/protocol/test_federation_handshake.py", "tests/protocol/test_opening.py"

NET, GUARD, CHAINS = "norc_actors/net", "tests/net/test_http2_guard.py", "tests/trust/test_x509_chains.py"

DEFENCES: list[Defence] = [
    # --- Primitives ---
    *_rows(
        f"{CRYPTO}/labels.py",
        ("signatures are labelled", "    return prefix + body", "    return body", f"{THREATS}::test_signing_oracle"),
        ("derivations are labelled", "    if info[:end] not in KDF_LABELS:", "    if False:",
         "tests/crypto/test_suites.py"),
    ),
    *_rows(
        f"{CRYPTO}/signatures.py",
        ("low s", "0 < s <= _N // 2", "0 < s < _N", "tests/crypto/test_signatures.py"),
    ),
    *_rows(
        f"{CRYPTO}/padding.py",
        ("padding is zero", "    if plaintext.count(0, end) != len(plaintext) - end:", "    if False:",
         "tests/vectors/test_generated.py::test_judged_as_they_say"),
        ("padding has its bucket", "len(plaintext) != padded_length(end)", "False",
         "tests/vectors/test_generated.py::test_judged_as_they_say"),
    ),
    *_rows(
        f"{CRYPTO}/sessions.py",
        ("the commitment is checked", "    if len(key) != KEY_BYTES or not same(commitment(suite, key), expected):",
         "    if len(key) != KEY_BYTES:", f"{THREATS}::test_two_plaintexts_for_one_ciphertext"),
        ("wraps name their device", "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code) + names.device + lv(names.user)",
         "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code)", "tests/crypto/test_vectors.py"),
        ("opens name their target", "        + names.target_device\n        + lv(names.target_user)\n", "",
         f"{THREATS}::test_the_names_are_in_the_keys"),
    ),
    *_rows(
        f"{CRYPTO}/kem_providers.py",
        ("ML-KEM keys are in range", "        if value & 0xFFF >= _Q:", "        if False:", "tests/crypto/test_mlkem.py"),
    ),
    # --- Connections ---
    *_rows(
        f"{PROTOCOL}/handshake.py",
        ("the handshake is signed", "            verify(message.server_public_key, \"handshake:v1\", th, message.signature)",
         "            pass", f"{HANDSHAKE}::test_changing_any_member_of_the_request_aborts"),
        ("the suite is the best of both", "if suite is None or suite.name != accepted.cipher_suite:",
         "if suite is None:", f"{HANDSHAKE}::test_refused_accepted tests/vectors/test_generated.py"),
        ("the server is whom was dialled", "        if accepted.server_id != request.server_name:", "        if False:",
         f"{HANDSHAKE}::test_refused_accepted"),
        ("the version remembered counts", "        check_remembered(self._remembered, accepted.negotiated_version)\n", "",
         f"{THREATS}::test_downgrade_to_1_x"),
        ("the hybrid part enters the keys", "        return ikm + secret, pq_ciphertext", "        return ikm, pq_ciphertext",
         f"{HANDSHAKE}::test_every_suite"),
    ),
    *_rows(
        f"{PROTOCOL}/versions.py",
        ("the version is the best of both", "    if (chosen, compatibility_mode) != negotiate(client, server, allow_amc_bridge):",
         "    if False:", f"{THREATS}::test_downgrade_to_1_x"),
    ),
    *_rows(
        f"{PROTOCOL}/sealed.py",
        ("frames are chained", "        if frame.prev_message_hash != prev:", "        if False:",
         "tests/vectors/test_generated.py::test_judged_as_they_say"),
        ("frames have their sequence", "            return self._fail(_SEQUENCE)", "            pass",
         "tests/protocol/test_sealed.py::test_replay_reordering_and_loss_change_nothing"),
        ("three failures close", "        if self._failures >= SEALED_FAILURES:", "        if False:",
         "tests/protocol/test_sealed.py::test_three_failures_in_a_row_close"),
        ("a key has 1000 frames", "        if direction.count >= FRAMES_PER_KEY:", "        if False:",
         "tests/protocol/test_sealed.py::test_a_1001st_frame_under_one_key_closes"),
    ),
    *_rows(
        f"{PROTOCOL}/auth.py",
        ("authentication is bound to its connection", "    return th + challenge + lv(", "    return challenge + lv(",
         f"{THREATS}::test_signing_oracle_by_relayed_challenge"),
        ("authentication has its time", "or not held or not in_time:", "or not held:", "tests/protocol/test_auth.py::test_skew"),
    ),
    # --- Devices and prekeys ---
    *_rows(
        f"{PROTOCOL}/devices.py",
        ("records are signed by the user", "    verify(user_key, \"user-device:v1\", canonical(record), signature)\n", "",
         f"{ATTACKS}::test_ghost_device"),
        ("certificates are for their record", "    if any(certificate.get(name) != record.get(name) for name in RECORD_MEMBERS):",
         "    if False:", "tests/protocol/test_devices.py::test_a_certificate_of_another_server_or_record"),
        ("both keys sign a rotation", "    verify(replaces, \"device-rotate:v1\", body, signatures[0])\n", "",
         "tests/vectors/test_generated.py::test_judged_as_they_say"),
    ),
    *_rows(
        f"{PROTOCOL}/receipts.py",
        ("receipts name their ciphertext", "    if not same(typed.ciphertext_hash, ciphertext_hash):", "    if False:",
         "tests/vectors/test_generated.py::test_judged_as_they_say"),
        ("receipts name their device", "    if (typed.user_id, typed.device_id) != (device.user_id, device.device_id):",
         "    if False:", f"{THREATS}::test_a_receipt_of_a_twin"),
    ),
    # --- Sessions and messages ---
    *_rows(
        f"{PROTOCOL}/sessions.py",
        ("opens are signed", "    _verify_open(opened, typed.signature, sender, accepted_at)\n    if (typed.target",
         "    if (typed.target", f"{THREATS}::test_key_compromise_impersonation"),
        ("opens are for this device",
         "    if (typed.target_user, typed.target_device) != (own.user_id, own.device_id):\n"
         "        raise OpenRefusedError(OpenFault.WRONG_NAMES)\n    if typed.suite",
         "    if typed.suite", f"{THREATS}::test_unknown_key_share"),
        ("no fallback from hybrid", "    if suite.hybrid and bundle.mlkem768 is None:", "    if False:",
         f"{THREATS}::test_pq_strip tests/protocol/test_sessions.py::test_no_fallback_from_hybrid"),
        ("a key opens once", "    if not session.next_index <= index < SESSION_MESSAGES:", "    if False:",
         f"{THREATS}::test_clone_and_restore tests/protocol/test_sessions.py"),
    ),
    *_rows(
        f"{PROTOCOL}/sealing.py",
        ("members alone are written to", "    if state.member(device.user_id) is None:", "    if False:",
         f"{ATTACKS}::test_ghost_member"),
        ("devices in force alone are written to", "    device, session = require_current(target.device, now), target.session",
         "    device, session = target.device, target.session", f"{ATTACKS}::test_stale_list"),
        ("what is secret goes hybrid", "    if needs_hybrid(clear.metadata.classification) and not SUITES[session.suite].hybrid:",
         "    if False:", f"{THREATS}::test_higher_classifications_never_go_classically"),
        ("the classification is signed", "        \"classification\": metadata.classification,\n        \"timestamp\"",
         "        \"timestamp\"", f"{THREATS}::test_relabelled_classification"),
        ("the audience is signed", "        \"audience\": audience_hash,\n", "",
         f"{ATTACKS}::test_ghost_member_in_the_state_breaks_the_audience"),
    ),
    *_rows(
        f"{PROTOCOL}/opening.py",
        ("the dedupe key is asked", "    match known(recorded_hash, digest):", "    match Known.NEW:",
         f"{OPENING}::test_the_same_message_again_and_another_under_its_id"),
        ("the message is signed", "            verify(key, \"message:v1\", body, signature)", "            pass",
         f"{THREATS}::test_key_compromise_impersonation"),
        ("the audience is looked at", "    _check_audience(received, own, state, current)\n", "",
         f"{ATTACKS}::test_a_receiver_outside_the_audience_discards"),
        ("the time is looked at", "    _check_time(received, step.place, state, now)\n", "",
         f"{OPENING}::test_old_messages_in_order_are_taken_and_expired_ones_are_not"),
        ("an ended session stays ended", "    if ended:", "    if False:", f"{THREATS}::test_replayed_open"),
    ),
    *_rows(
        f"{PROTOCOL}/chains.py",
        ("a number is taken once", "        if not self.may_accept(number):", "        if False:",
         "tests/protocol/test_chains.py"),
    ),
    *_rows(
        f"{PROTOCOL}/conversations.py",
        ("states follow one another", "    if state.prev_state_hash is None or not same(state.prev_state_hash, expected):",
         "    if False:", f"{THREATS}::test_fork"),
        ("owners and admins sign states", "    if signer is None or signer.role not in SIGNING_ROLES:", "    if False:",
         "tests/protocol/test_conversations.py::test_states_signed_by_others_are_refused"),
    ),
    # --- Files and calls ---
    *_rows(
        f"{PROTOCOL}/files.py",
        ("chunks name their place", "        return self.file_id + u32(index) + u32(self.total) + bytes((index == self.total - 1,))",
         "        return self.file_id", "tests/protocol/test_files.py::test_a_chunk_opens_at_its_place_alone"),
        ("nothing behind a file's end", "        if chunk.count(0, end) != size - end:", "        if False:",
         "tests/protocol/test_files.py::test_nothing_hides_behind_the_end"),
        ("an index is sealed once", "        if index in self._done:", "        if False:",
         "tests/protocol/test_files.py::test_an_index_is_sealed_once"),
        ("a file is what it was", "        if self._left != 0 or not same(self._digest.digest(), self._expected):",
         "        if False:", "tests/protocol/test_files.py::test_another_file_is_noticed"),
    ),
    *_rows(
        f"{PROTOCOL}/calls.py",
        ("packets come once", "        if not held.window.may_accept(counter):", "        if False:",
         "tests/protocol/test_calls.py::test_packets_over_three_epochs"),
        ("epochs ahead are bounded", "        if not 0 < steps <= CALL_EPOCHS_AHEAD:", "        if steps <= 0:",
         "tests/protocol/test_calls.py::test_a_long_silence"),
    ),
    # --- Servers ---
    *_rows(
        f"{PROTOCOL}/links.py",
        ("the TLS certificate is bound", "    if not same(hello.tls_fingerprint, peer.tls_fingerprint):", "    if False:",
         f"{LINK}::test_whatever_is_changed_on_the_way_ends_the_handshake {LINK}::test_the_certificate_is_the_one_of_tls"),
        ("the link is signed", "        verify(key, \"fed-link:v1\", side.encode() + th, signature)", "        pass",
         f"{LINK}::test_whatever_is_changed_on_the_way_ends_the_handshake"),
        ("initiator and responder differ", "side.encode() + th, signature)", "b\"initiator\" + th, signature)",
         f"{LINK}::test_both_ends_agree"),
        ("hybrid from verified up", "    if peer.hybrid_required and not suite.hybrid:", "    if False:",
         f"{LINK}::test_downgrades"),
    ),
    *_rows(
        f"{PROTOCOL}/federation_handshake.py",
        ("the link's suite is the best of both", "        if suite is None or suite.name != response.cipher_suite:",
         "        if suite is None:", f"{LINK}::test_a_responder_that_signs_a_lower_choice"),
        ("the link's version is the best of both", "        if (chosen.norc_f, chosen.norc_t) != (version, trust_version):",
         "        if False:", f"{LINK}::test_a_responder_that_signs_a_lower_choice"),
    ),
    *_rows(
        f"{PROTOCOL}/batches.py",
        ("batches are signed", "        verify(remote_key, \"fed-request:v1\", body, batch.signature)", "        pass",
         "tests/protocol/test_batches.py::test_refusals"),
        ("batches have their time", "    if abs(now - batch.timestamp) > BATCH_SKEW_SECONDS:", "    if False:",
         "tests/protocol/test_batches.py::test_refusals"),
        ("batches are for this server", "    if (batch.requesting, batch.target) != (remote, own_server):", "    if False:",
         "tests/protocol/test_batches.py::test_refusals"),
    ),
    *_rows(
        f"{PROTOCOL}/relay.py",
        ("relays are signed by their origin", "    verify(origin_key, \"relay:v1\", relay_body(relay, origin_key), relay[\"signature\"])",
         "    pass", f"{RELAY}::test_what_the_origin_signed_is_fixed"),
        ("hops sign their route", "        verify(key, \"route:v1\", body, entry[\"signature\"])", "        pass",
         f"{RELAY}::test_a_route_is_one_route"),
        ("hops name the next", " + lv(following.encode())", "", f"{RELAY}::test_a_route_is_one_route"),
        ("every hop signs", "    if len(entries) != len(path):", "    if False:", f"{RELAY}::test_a_route_is_one_route"),
        ("only a direct origin omits its route",
         "        if list(path) != [relay[\"origin_server\"]] or relay[\"target_server\"] != receiver:", "        if False:",
         f"{RELAY}::test_only_a_direct_origin_omits_the_route"),
        *((f"ingress: {name}", f'    ("{name}", {check}),\n', "", f"{RELAY}::test_each_check_alone")
          for name, check in (
              ("link state", "_link_state"), ("size", "_size"), ("rate", "_rate"), ("target", "_target"),
              ("trust level and permission", "_trust"), ("classification", "_classification"),
              ("hop count and ttl", "_hops"), ("loop", "_loop"), ("skew", "_skew"),
          )),
        ("the relay cache is asked", "    if recorded is not None:", "    if False:", f"{RELAY}::test_each_check_alone"),
        ("transit wants both neighbours",
         "    if target != view.own_server and not (sender and sender.transit and following and following.transit):",
         "    if False:", f"{RELAY}::test_transit"),
        ("no transit without permission", "    if remote != relay[\"origin_server\"] and not (sender and sender.transit):",
         "    if False:", f"{RELAY}::test_the_least_level_and_permission_of_the_path"),
        ("the sender is of the origin", "    if home != origin:", "    if False:", f"{RELAY}::test_targets"),
    ),
    *_rows(
        f"{PROTOCOL}/relay_cache.py",
        ("a full cache refuses", "        if self._held[remote] >= self._quota:", "        if False:",
         "tests/protocol/test_relay_cache.py::test_against_the_model"),
    ),
    *_rows(
        f"{PROTOCOL}/trust_transcript.py",
        ("trust messages are bound to their exchange", "    return form if message.get(\"type\") == \"trust_crl\" else th + form",
         "    return form", "tests/protocol/test_trust_transcript.py::test_a_message_holds_at_its_place_alone"),
        ("proofs are bound to their exchange",
         "    verify(key, \"trust-proof:v1\", transcript.th(key) + challenge_data, proof)", "    pass",
         "tests/protocol/test_trust_transcript.py::test_a_proof_belongs_to_its_exchange"),
        ("CRLs only rise", "    if known is not None and number < known:", "    if False:",
         "tests/protocol/test_trust_transcript.py::test_a_crl_signs_itself_alone"),
    ),
    *_rows(
        f"{PROTOCOL}/trust_levels.py",
        ("NATO needs its agreement", "    if level == \"nato\" and classification in NATIONAL_SECRETS:",
         "    if classification in agreement:\n        return True\n    if False:", "tests/protocol/test_trust_transcript.py::test_levels"),
    ),
    *_rows(
        f"{PROTOCOL}/audit_chain.py",
        ("entries are chained", "    return blake3(prev_hash + entry)", "    return blake3(entry)",
         "tests/protocol/test_audit_chain.py tests/protocol/test_federation_formulas.py::test_audit"),
    ),
    # --- Between servers: transport and chains ---
    *_rows(
        f"{NET}/http2_guard.py",
        ("HTTP/2 frames have their length", "        if length > limits.HTTP2_FRAME_BYTES:", "        if False:",
         f"{GUARD}::test_a_frame_too_long_is_refused_by_its_header"),
        ("header blocks have their size", "        if self._block > limits.HTTP2_HEADER_BYTES or self._block_frames > limits.HTTP2_HEADER_FRAMES:",
         "        if False:", f"{GUARD}::test_headers_are_counted_over_their_frames"),
        ("settings are few", "        elif kind == _SETTINGS and length > 6 * limits.HTTP2_SETTINGS:", "        elif False:",
         f"{GUARD}::test_settings_are_counted"),
        ("waste is counted", "        if self._waste > limits.HTTP2_WASTE:", "        if False:",
         f"{GUARD}::test_a_flood_ends_the_connection"),
        ("padding is no data", "                length -= _PADDING", "                pass",
         f"{GUARD}::test_a_flood_ends_the_connection"),
    ),
    *_rows(
        f"{NET}/http2_core.py",
        ("the compression table stays small", "                if self._h2.encoder.header_table_size > limits.HTTP2_HEADER_TABLE_BYTES:",
         "                if False:", f"{GUARD}::test_a_compression_table_without_bounds_is_not_filled"),
    ),
    *_rows(
        f"{NET}/http2_intake.py",
        ("room for bodies is bounded", "        if self._line or self._pool < size:", "        if False:",
         "tests/net/test_http2_core.py::test_bodies_together_have_bounded_room"),
    ),
    *_rows(
        f"{NET}/http2_ends.py",
        ("long bodies are refused unread", "        elif declared is not None and declared > self._intake.max_body:", "        elif False:",
         "tests/net/test_http2_core.py::test_a_body_that_is_announced_too_long_is_refused_before_it_comes"),
    ),
    *_rows(
        "norc_actors/trust/x509_path.py",
        ("chains name their server", "    if names is None or server not in names.get_values_for_type(x509.DNSName):",
         "    if names is None:", f"{CHAINS}::test_what_does_not_hold_is_named"),
        ("leaves have strong keys", "    if not (rsa_holds or ec_holds or isinstance(key, ed25519.Ed25519PublicKey)):", "    if False:",
         f"{CHAINS}::test_a_weak_or_unknown_key"),
        ("policies run along the path", "    return listed if valid is None else valid & listed", "    return listed",
         f"{CHAINS}::test_policies_along_a_path"),
        ("anyPolicy can be inhibited", "        any_holds = ANY_POLICY in listed and (inhibit > 0 or (self_issued and not last))",
         "        any_holds = ANY_POLICY in listed", f"{CHAINS}::test_policies_along_a_path"),
        ("policies can be required", "        if explicit == 0 and valid == frozenset():", "        if False:",
         f"{CHAINS}::test_a_policy_that_is_asked_for_and_missing"),
    ),
    *_rows(
        "norc_actors/trust/x509_chains.py",
        ("a leaf names its policy", " and names_policy(path[0], policy)", "", f"{CHAINS}::test_what_a_states_chain_lacks"),
        ("revoked is the end", "        if status is Status.REVOKED:", "        if False:", f"{CHAINS}::test_revoked_is_the_end"),
    ),
    *_rows(
        "norc_actors/trust/x509_status.py",
        ("X.509 CRLs are signed", "        if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # raises for other kinds",
         "        if False:", f"{CHAINS}::test_what_a_crl_says"),
        ("a status is fresh", "    return begun - _SKEW <= moment <= (begun + _AGE if ends is None else ends)", "    return True",
         f"{CHAINS}::test_what_a_crl_says"),
        ("OCSP responders are certified", "    return valid and ExtendedKeyUsageOID.OCSP_SIGNING in uses", "    return valid",
         f"{CHAINS}::test_what_ocsp_says"),
    ),
    *_rows(
        f"{CRYPTO}/certificates.py",
        ("one certificate, one fingerprint", "    if not der.endswith(b\"\\x00\" + read.signature):", "    if False:",
         "tests/crypto/test_certificates.py::test_one_certificate_has_one_fingerprint"),
    ),
]  # fmt: skip


def copy_tree(directory: Path) -> None:
    """The sources that the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)


def run_tests(directory: Path, tests: list[str]) -> bool:
    """Whether all of these tests pass there."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True).returncode == 0


def survives(directory: Path, defence: Defence) -> str | None:
    """Why a mutant is a finding: None if its test noticed it."""
    path = directory / defence.file
    source = path.read_text()
    if source.count(defence.text) != 1:
        return f"its text stands {source.count(defence.text)} times in {defence.file}"
    path.write_text(source.replace(defence.text, defence.without))
    try:
        noticed = not run_tests(directory, defence.test.split())
    finally:
        path.write_text(source)
    return None if noticed else f"without it {defence.test} passes"


def main(arguments: list[str]) -> int:
    """Run the mutants; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Remove each defence in turn.")
    parser.add_argument("-k", default="", help="only defences whose name, file or test contains this")
    parser.add_argument("--list", action="store_true", help="list them and stop")
    options = parser.parse_args(arguments)
    chosen = [one for one in DEFENCES if options.k in f"{one.name} {one.file} {one.test}"]
    if options.list:
        print("\n".join(f"{one.name}: {one.file}, {one.test}" for one in chosen))
        return 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        directory = Path(name)
        copy_tree(directory)
        if not run_tests(directory, sorted({test for one in chosen for test in one.test.split()})):
            print("the tests fail as things are", file=sys.stderr)
            return 1
        findings = 0
        for one in chosen:
            why = survives(directory, one)
            findings += why is not None
            print(
                f"{'noticed' if why is None else 'SURVIVED'}  {one.name}{'' if why is None else f': {why}'}", flush=True
            )
    print(f"{len(chosen) - findings} of {len(chosen)} mutants were noticed")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
