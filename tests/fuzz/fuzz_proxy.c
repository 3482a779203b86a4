/* SPDX-License-Identifier: MIT */
/* PROXY headers: what is no whole header in one part is none in another. */
#include "net/proxy.h"

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *p = (const char *)data;
	struct addr src, again;
	char ip[ADDR_TEXT_MAX];
	int ret = proxy_parse(p, len, &src);

	must(ret >= 0 || ret == ERR_INVALID);
	must(ret <= PROXY_HEADER_MAX && (ret < 0 || (size_t)ret <= len));
	must(ret != 0 || len < PROXY_HEADER_MAX);
	if (ret <= 0)
		return 0;
	addr_ip(&src, ip);
	must((src.len == 0) == (ip[0] == '\0'));
	for (int n = 0; n < ret; n++)
		must(proxy_parse(p, (size_t)n, &again) == 0);
	must(proxy_parse(p, (size_t)ret, &again) == ret);
	return 0;
}
