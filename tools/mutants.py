"""`make mutants`: take each defence away in turn and see the test that names it fail.

    python -m tools.mutants [-k TEXT] [--list]

`DEFENCES` has one row per check: its file, its text, the text without the defence, and the tests each of which must
then fail. Every attack test (test_attacks.py, test_threats.py) is named by a row, so none of them passes whatever the
code does. Each mutant is made in a copy of the sources in a temporary directory; the working tree is never touched. First every
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
    """One or more, parted by blanks: each by itself has to fail."""


def _rows(file: str, *rows: tuple[str, str, str, str]) -> list[Defence]:
    return [Defence(name=name, file=file, text=text, without=without, test=test) for name, text, without, test in rows]


THREATS, ATTACKS = "tests/protocol/test_threats.py", "tests/protocol/test_attacks.py"
HANDSHAKE, RELAY = "tests/protocol/test_handshake.py", "tests/protocol/test_relay.py"
LINK, OPENING = "tests/protocol/test_federation_handshake.py", "tests/protocol/test_opening.py"
JUDGED = "tests/vectors/test_generated.py::test_judged_as_they_say"

NEIGHBOURS, REQUESTS = "tests/outsider/test_hostile_neighbours.py", "tests/outsider/test_hostile_requests.py"
TAKES = "tests/protocol/test_prekeys.py::test_a_server_takes_what_a_sender_would_use_and_nothing_else"
NET, GUARD, CHAINS = "norc_actors/net", "tests/net/test_http2_guard.py", "tests/trust/test_x509_chains.py"

DEFENCES: list[Defence] = [
    # --- Primitives ---
    *_rows(
        f"{CRYPTO}/labels.py",
        ("signatures are labelled", "    return prefix + body", "    return body", f"{THREATS}::test_signing_oracle"),
        ("derivations are labelled", "    if info[:end] not in KDF_LABELS:", "    if False:",
         "tests/crypto/test_suites.py tests/crypto/test_labels.py"),
    ),
    *_rows(
        f"{CRYPTO}/kem.py",
        ("small-order keys agree on nothing", "        raise BadKeyError(\"X25519 with a small-order point\") from error",
         "        return bytes(32)", "tests/crypto/test_kem.py tests/crypto/test_sessions.py"),
    ),
    *_rows(
        f"{CRYPTO}/signatures.py",
        ("low s", "0 < s <= _N // 2", "0 < s < _N", "tests/crypto/test_signatures.py"),
    ),
    *_rows(
        f"{CRYPTO}/padding.py",
        ("padding is zero", "    if plaintext.count(0, end) != len(plaintext) - end:", "    if False:",
         f"{JUDGED}[message] tests/crypto/test_padding.py"),
        ("padding has its bucket", "len(plaintext) != padded_length(end)", "False",
         f"{JUDGED}[message] tests/crypto/test_padding.py"),
    ),
    *_rows(
        f"{CRYPTO}/sessions.py",
        ("the commitment is checked", "    if len(key) != KEY_BYTES or not same(commitment(suite, key), expected):",
         "    if len(key) != KEY_BYTES:", f"{THREATS}::test_two_plaintexts_for_one_ciphertext"),
        ("wraps name their device", "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code) + names.device + lv(names.user)",
         "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code)", "tests/crypto/test_sessions.py"),
        ("wraps are for one device",
         "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code) + names.device + lv(names.user)\n"
         "    nonce = suite.hash(names.device + names.message_id)[:12]\n"
         "    aad = (\n        lv(names.sender_user)\n        + names.sender_device\n        + names.device\n",
         "    info = b\"norc:wrap:v1\" + E2E_VERSION + u16(suite.code)\n"
         "    nonce = suite.hash(names.message_id)[:12]\n"
         "    aad = (\n        lv(names.sender_user)\n        + names.sender_device\n",
         f"{ATTACKS}::test_a_stolen_device_opens_no_other_devices_wrap"),
        ("wrap nonces name their message", "    nonce = suite.hash(names.device + names.message_id)[:12]",
         "    nonce = suite.hash(names.device)[:12]", f"{THREATS}::test_a_crash_before_the_commit_repeats_no_key"),
        ("wrap keys are salted by the commitment", "    return suite.hkdf(mk, key_commitment, info), nonce, aad",
         "    return suite.hkdf(mk, b\"\", info), nonce, aad",
         f"{THREATS}::test_a_crash_before_the_commit_repeats_no_key"),
        ("ciphertexts are bound to their place",
         "    aad = aad_v1(\n        2, 0, MESSAGE_SEND_CODE, names.sequence_number, names.message_id, length, "
         "names.prev_message_hash, where\n    )\n", "    aad = b\"\"\n", f"{THREATS}::test_splice"),
        ("opens name their sender",
         "    aad = lv(names.sender_user) + names.sender_device + names.session_id + u32(names.prekey_id)",
         "    aad = b\"\"", f"{THREATS}::test_the_names_are_in_the_keys"),
        ("opens name their target", "        + names.target_device\n        + lv(names.target_user)\n", "",
         f"{THREATS}::test_the_names_are_in_the_keys"),
    ),
    *_rows(
        f"{CRYPTO}/kem_providers.py",
        ("ML-KEM keys are in range", "        if value & 0xFFF >= _Q:", "        if False:", "tests/crypto/test_kem_providers.py"),
    ),
    # --- Connections ---
    *_rows(
        f"{PROTOCOL}/handshake.py",
        ("the handshake is signed", "            verify(message.server_public_key, \"handshake:v1\", th, message.signature)",
         "            pass", f"{HANDSHAKE}::test_changing_any_member_of_the_request_aborts {THREATS}::test_suite_strip"),
        ("the suite is the best of both", "if suite is None or suite.name != accepted.cipher_suite:",
         "if suite is None:", f"{HANDSHAKE}::test_recorded {JUDGED}[handshake]"),
        ("the server is whom was dialled", "        if accepted.server_id != request.server_name:", "        if False:",
         f"{HANDSHAKE}::test_recorded"),
        ("the key is of the suite's algorithm", "        if algorithm_of(accepted.server_public_key) != suite.identity:",
         "        if False:", f"{HANDSHAKE}::test_recorded"),
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
         f"{JUDGED}[sealed] tests/protocol/test_sealed.py::test_recorded"),
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
    *_rows(
        f"{PROTOCOL}/server_keys.py",
        ("both keys sign a server's rotation",
         "        verify(rotation.old_public_key, \"server-rotate:v1\", body, by_old)\n", "",
         f"{JUDGED}[signed_maps] tests/protocol/test_server_keys.py::test_rotation_refused"),
        ("a server keeps its key",
         "        raise ProtocolError(Code.INVALID_SIGNATURE, \"the server's key is neither the known one nor signed by it\")",
         "        return \"first use\"", "tests/protocol/test_server_keys.py"),
    ),
    *_rows(
        f"{PROTOCOL}/frames.py",
        ("oversize is refused from the header", "    if length > max_frame:", "    if False:",
         "tests/protocol/test_frames.py::test_oversize_is_refused_from_the_header"),
    ),
    *_rows(
        f"{PROTOCOL}/canonical.py",
        ("depth is bounded", "    if depth > MAX_DEPTH:", "    if False:", "tests/protocol/test_canonical.py"),
        ("lists and maps are bounded", "    if len(value) > MAX_ENTRIES:", "    if False:",
         "tests/protocol/test_canonical.py"),
        ("one text has one base64url", "    if len(text) % 4 and base64url(data) != text:", "    if False:",
         "tests/protocol/test_canonical.py"),
    ),
    # --- Devices and prekeys ---
    *_rows(
        f"{PROTOCOL}/devices.py",
        ("records are signed by the user", "    verify(user_key, \"user-device:v1\", canonical(record), signature)\n", "",
         f"{ATTACKS}::test_ghost_device tests/protocol/test_devices.py::test_recorded"),
        ("the pinned user key counts", "    if not same(typed.user_key, pinned):", "    if False:",
         f"{ATTACKS}::test_ghost_device"),
        ("what a revoked device signs counts for nothing",
         "        if self.revoked_at is not None and accepted_at >= self.revoked_at:", "        if False:",
         f"{ATTACKS}::test_revoked_device_counts_until_effective"),
        ("a revoked device is not written to", "    if device.revoked_at is not None:", "    if False:",
         f"{ATTACKS}::test_stale_list {ATTACKS}::test_revoked_device_counts_until_effective"),
        ("a device does not lose ML-KEM silently", "    return before.hybrid and not after.hybrid", "    return False",
         f"{THREATS}::test_pq_strip"),
        ("certificates are for their record", "    if any(certificate.get(name) != record.get(name) for name in RECORD_MEMBERS):",
         "    if False:", "tests/protocol/test_devices.py::test_a_certificate_of_another_server_or_record"),
        ("both keys sign a rotation", "    verify(replaces, \"device-rotate:v1\", body, signatures[0])\n", "",
         f"{JUDGED}[device_record] tests/protocol/test_devices.py::test_recorded"),
    ),
    *_rows(
        f"{PROTOCOL}/prekeys.py",
        ("bundles name their device", "    if (bundle.user_id, bundle.device_id) != (user_id, device_id):",
         "    if False:", f"{THREATS}::test_unknown_key_share tests/protocol/test_prekeys.py::test_recorded"),
        ("prekeys are signed by their device", "            verify(key, \"prekey:v1\", body, signature)", "            pass",
         f"{THREATS}::test_unknown_key_share tests/protocol/test_prekeys.py::test_recorded"),
        ("bundles have their time", "    if not bundle.not_before - RECORD_SKEW_SECONDS <= now < bundle.not_after:",
         "    if False:", "tests/protocol/test_prekeys.py::test_bundles_are_for_one_device_and_time"),
    ),
    *_rows(
        f"{PROTOCOL}/revocation.py",
        ("revocations are signed",
         "    verify(signer_key, \"device-revoke:v1\", canonical(revocation, (\"signature\",)), typed.signature)\n", "",
         f"{JUDGED}[revocation] tests/protocol/test_revocation.py::test_recorded"),
        ("revocations are chained", "    if typed.prev_revocation_hash != expected:", "    if False:",
         f"{JUDGED}[revocation] tests/protocol/test_revocation.py::test_the_chain"),
    ),
    *_rows(
        f"{PROTOCOL}/enrolment.py",
        ("registrations are bound to their connection",
         "    return transcript_hash + challenge + lv(canonical(register))", "    return challenge + lv(canonical(register))",
         f"{JUDGED}[enrolment] tests/protocol/test_enrolment.py::test_recorded"),
        ("work is as hard as it was asked", ") >= difficulty\n\n\n# --- The registration", ") >= 0\n\n\n# --- The registration",
         f"{JUDGED}[enrolment] tests/protocol/test_enrolment.py::test_recorded"),
    ),
    *_rows(
        f"{PROTOCOL}/receipts.py",
        ("receipts name their ciphertext", "    if not same(typed.ciphertext_hash, ciphertext_hash):", "    if False:",
         f"{JUDGED}[receipt] tests/protocol/test_receipts.py::test_a_receipt_holds_for_one_thing"),
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
         f"{THREATS}::test_clone_and_restore {THREATS}::test_a_crash_before_the_commit_repeats_no_key"
         " tests/protocol/test_sessions.py::test_a_receiver_takes_each_index_once"),
        ("a used key is erased",
         "    return key, replace(session, chain_key=following, next_index=index + 1, skipped=skipped)",
         "    return key, session", f"{ATTACKS}::test_forward_secrecy"),
        ("secrets heal", "    return always or classification in HEALING", "    return always",
         "tests/protocol/test_sessions.py::test_healing_classifications"
         " tests/client/test_rules.py::test_a_secret_message_makes_the_answer_start_a_fresh_session"),
    ),
    *_rows(
        "norc_actors/client/receiving.py",
        ("a secret message ends the session back", "        if starts_fresh(message.metadata.classification):", "        if False:",
         "tests/client/test_rules.py::test_a_secret_message_makes_the_answer_start_a_fresh_session"),
    ),
    *_rows(
        "norc_actors/client/committer.py",
        ("what is sent was committed",
         "                    await trio.to_thread.run_sync(self._ledger.profile.commit, transaction.writes())",
         "                    await trio.lowlevel.checkpoint()",
         "tests/client/test_kill_safety.py::test_the_sender_is_killed_at_each_commit"),
    ),
    *_rows(
        f"{PROTOCOL}/sealing.py",
        ("members alone are written to", "    if state.member(device.user_id) is None:", "    if False:",
         f"{ATTACKS}::test_ghost_member"),
        ("devices in force alone are written to", "    device, session = require_current(target.device, now), target.session",
         "    device, session = target.device, target.session", f"{ATTACKS}::test_stale_list"),
        ("what is secret is sealed hybrid", "hybrid_required=needs_hybrid(classification)", "hybrid_required=False",
         f"{THREATS}::test_higher_classifications_never_go_classically"),
        ("what is secret goes hybrid", "    if needs_hybrid(clear.metadata.classification) and not SUITES[session.suite].hybrid:",
         "    if False:", f"{THREATS}::test_higher_classifications_never_go_classically"),
        ("the classification is signed", "        \"classification\": metadata.classification,\n        \"timestamp\"",
         "        \"timestamp\"", f"{THREATS}::test_relabelled_classification"),
        ("the audience is signed", "        \"audience\": audience_hash,\n", "",
         f"{ATTACKS}::test_ghost_member_in_the_state_breaks_the_audience"
         f" {ATTACKS}::test_surreptitious_forwarding_as_the_sender {THREATS}::test_fork"),
    ),
    *_rows(
        f"{PROTOCOL}/opening.py",
        ("the dedupe key is asked", "    seen = known(recorded_hash, digest)", "    seen = Known.NEW",
         f"{OPENING}::test_the_same_message_again_and_another_under_its_id"
         f" {THREATS}::test_a_retransmission_is_the_stored_bytes"),
        ("the message is signed", "            verify(key, \"message:v1\", body, signature)", "            pass",
         f"{THREATS}::test_key_compromise_impersonation {THREATS}::test_swap {ATTACKS}::test_surreptitious_forwarding"
         f" {ATTACKS}::test_signed_by_another_device_of_the_sender"),
        ("the audience is looked at", "    _check_audience(received, own, state, current)\n", "",
         f"{ATTACKS}::test_a_receiver_outside_the_audience_discards {ATTACKS}::test_receivers_refuse_an_observer_too"),
        ("what is secret is opened hybrid", "    if needs_hybrid(received.metadata.classification) and not hybrid:",
         "    if False:", f"{ATTACKS}::test_secret_content_in_a_classical_session_is_refused"),
        ("the time is looked at", "    _check_time(received, step.place, state, now)\n", "",
         f"{OPENING}::test_old_messages_in_order_are_taken_and_expired_ones_are_not"),
        ("an ended session stays ended", "    if arrival == \"refuse\":", "    if False:", f"{THREATS}::test_replayed_open"),
    ),
    *_rows(
        f"{PROTOCOL}/chains.py",
        ("a number is taken once",
         "        return number >= 0 and (behind < 0 or (behind < self.size and not self.seen >> behind & 1))",
         "        return True", f"{ATTACKS}::test_two_messages_with_one_number_raise_an_alert tests/protocol/test_chains.py"),
        ("messages follow one another", "    if before is not None and not same(before, prev_message_hash):",
         "    if False:", f"{ATTACKS}::test_a_message_that_does_not_follow_raises_an_alert"),
        ("gaps are marked", "    after_gap = hashes.pop(number - 1, None) is None and not starts", "    after_gap = False",
         f"{THREATS}::test_drop"),
    ),
    *_rows(
        f"{PROTOCOL}/conversations.py",
        ("states follow one another", "    if state.prev_state_hash is None or not same(state.prev_state_hash, expected):",
         "    if False:", f"{THREATS}::test_fork"),
        ("owners and admins sign states", "    if signer is None or signer.role not in SIGNING_ROLES:", "    if False:",
         "tests/protocol/test_conversations.py::test_states_signed_by_others_are_refused"),
        ("members are whom the state's signer knew", "    if not same(member.user_key_hash, user_key_hash(user_key)):",
         "    if False:", "tests/protocol/test_conversations.py::test_ghost_member_key"),
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
         "    if classification in agreement:\n        return True\n    if False:",
         "tests/protocol/test_trust_levels.py::test_an_agreement_counts_at_nato_alone"),
    ),
    *_rows(
        f"{PROTOCOL}/audit_chain.py",
        ("entries are chained", "    return blake3(prev_hash + entry)", "    return blake3(entry)",
         "tests/protocol/test_audit_chain.py"),
    ),
    # --- What one device may do to others at the same server ---
    *_rows(
        f"{PROTOCOL}/prekeys.py",
        ("a server takes bundles in force alone", "            _check_bundle(typed, record.user_id, record.device_id, now)",
         "            pass", TAKES),
        ("a server takes usable bundles alone", "            _check_agreement(typed, record)", "            pass", TAKES),
        ("papers are no longer than an entry may be", "    if len(encode_map(signed)) > most:", "    if False:", TAKES),
    ),
    *_rows(
        f"{PROTOCOL}/devices.py",
        ("records are no longer than an entry may be", "    if len(encode(record)) > MAX_RECORD_BYTES:", "    if False:",
         f"{NEIGHBOURS}::test_a_record_as_long_as_a_frame"),
    ),
    *_rows(
        f"{ACTORS}/connections/outlet.py",
        ("pushes are bounded", "        if self.pushes >= limits.PUSH_WINDOW:", "        if False:",
         f"{NEIGHBOURS}::test_a_flood_of_questions_ends_nobody_elses_connection"),
    ),
    *_rows(
        f"{ACTORS}/connections/connection_worker.py",
        ("what a device does not take is not in its way", "        if channel.fits(len(received)):", "        if True:",
         f"{NEIGHBOURS}::test_messages_that_one_device_does_not_take_are_not_in_its_way"),
    ),
    *_rows(
        f"{ACTORS}/messages/message_router.py",
        ("what nobody could take is not accepted",
         "    return longest(payload, deliveries) + TAG_BYTES > limits.DEFAULT_MAX_FRAME", "    return False",
         f"{NEIGHBOURS}::test_a_message_that_no_device_could_take"),
    ),
    *_rows(
        f"{ACTORS}/crypto/session_manager.py",
        ("a budget outlives its connection", "        budget = self._budgets.get(request.device_id)", "        budget = None",
         f"{REQUESTS}::test_rates_hold_across_connections"),
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
        blind = [test for test in defence.test.split() if run_tests(directory, [test])]
    finally:
        path.write_text(source)
    return f"without it {', '.join(blind)} passes" if blind else None


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
