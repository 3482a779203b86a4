/* SPDX-License-Identifier: MIT */
/* What modules offer each other: see mod_publish(). */
#ifndef CORE_OFFERS_H
#define CORE_OFFERS_H

#include "core/host.h"
#include "store/store.h"

struct stream;

/*
 * "upload_listener": hears of each file that an account has put, from any loop.
 * done(ctx, err) comes on the calling loop, and the putter is not told that all
 * is well before; it comes again for a file that is put again.
 */
struct upload_listener {
	void (*stored)(const struct host *host, struct str owner,
	    struct str token, store_done_fn *done, void *ctx);
};

/* "register": may anybody sign up for the host? On any worker. */
struct register_offer {
	bool (*is_open)(const struct host *host);
};

/*
 * "retraction_listener": hears of each message that its sender has retracted
 * (XEP-0424), as it was archived; at the sender's home.
 */
struct retraction_listener {
	void (*retracted)(
	    const struct host *host, struct str sender, struct str xml);
};

/*
 * "invitations": accounts made by a token that a stream has shown
 * (stream_note()). show: what <preauth/> does; ERR_ABSENT when the token is no
 * good, ERR_LIMIT when too many were not; the caller holds the stream.
 * redeem: ERR_ABSENT when it is good no more, ERR_LIMIT when
 * it is being used, else as account_register(). is_reserved: ERR_EXISTS when
 * the user name is kept for somebody. done(ctx, err) comes on the calling loop.
 */
struct invitations {
	void (*show)(const struct host *host, struct stream *stream,
	    struct str token, store_done_fn *done, void *ctx);
	void (*redeem)(const struct host *host, struct str token,
	    const struct jid *who, struct str password, store_done_fn *done,
	    void *ctx);
	void (*is_reserved)(const struct host *host, struct str name,
	    store_done_fn *done, void *ctx);
};

#endif
