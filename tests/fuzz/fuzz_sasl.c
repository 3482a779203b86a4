/* SPDX-License-Identifier: MIT */
/*
 * Messages of SASL: both SCRAM messages of a client. What is accepted must
 * consist of parts of the message.
 */
#include "core/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_mem(data, size);
	struct arena *a = arena_new(0);
	struct scram_first first;
	struct scram_final final;

	if (scram_parse_first(a, text, &first) == 0) {
		must(first.gs2_header.n + first.bare.n == size);
		must(first.user.n > 0 && first.nonce.n > 0);
		must((first.binding == 'p') == (first.binding_type.n > 0));
		must(str_is_utf8(first.user));
	}
	if (scram_parse_final(a, text, &final) == 0) {
		struct scram_keys keys = {
			.stored_key = STR("12345678901234567890"),
			.server_key = STR("12345678901234567890"),
		};
		struct str signature;

		must(str_has_prefix(text, final.without_proof));
		must(final.proof.n > 0 && final.nonce.n > 0);
		must(!scram_verify(
		    a, &scram_hashes[0], &keys, text, final.proof, &signature));
	}
	arena_free(&a);
	return 0;
}
