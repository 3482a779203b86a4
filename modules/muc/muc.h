/* SPDX-License-Identifier: MIT */
/*
 * Rooms (XEP-0045). A room lives at the home worker of its bare JID, in the
 * instance of the module there, and is touched by that thread alone. It is
 * loaded from the store with the first stanza for it, and dropped when it is
 * empty and nothing is under way.
 */
#ifndef MODULES_MUC_MUC_H
#define MODULES_MUC_MUC_H

#include "core/module.h"

/* Stores of keyed values; the owner is the room's bare JID... */
#define STORE_ROOM STR("muc")		  /* keys below */
#define STORE_AFFS STR("muc_affiliation") /* bare JID: <item/> */
#define STORE_SUBS STR("muc_sub")	  /* bare JID: <subscription/> */
#define STORE_VCARD STR("muc_vcard")
#define KEY_CONFIG STR("config")
#define KEY_SUBJECT STR("subject")
#define KEY_HATS STR("hats")
#define KEY_CHANGES STR("mav")
/* ...or the service's domain. */
#define STORE_PUBLIC STR("muc_public") /* local part: name shown */
/* By index_key(): <subscription/>, affiliation. */
#define STORE_SUB_ROOMS STR("muc_sub_rooms")
#define STORE_AFF_ROOMS STR("muc_aff_rooms")
#define STORE_NICKS STR("muc_nick") /* bare JID: nickname */

#define NICK_MAX 256
#define REASON_MAX 2048
#define WAITING_MAX 1000

enum aff { AFF_OUTCAST, AFF_NONE, AFF_MEMBER, AFF_ADMIN, AFF_OWNER };
enum role { ROLE_NONE, ROLE_VISITOR, ROLE_PARTICIPANT, ROLE_MODERATOR };

enum notify_rule { NOTIFY_NONE, NOTIFY_MENTION, NOTIFY_ALWAYS };
/* What of MUC/Sub one subscribes to. */
enum sub_node {
	SUB_MESSAGES,
	SUB_PRESENCE,
	SUB_AFFILIATIONS,
	SUB_SUBSCRIBERS,
	SUB_CONFIG,
	SUB_SUBJECT,
	SUB_SYSTEM,
};

enum pm_rule { PM_ANYONE, PM_PARTICIPANTS, PM_MODERATORS, PM_NONE };

struct muc_options {
	struct str host;
	struct str name; /* of the service */
	struct str rtbl_service, rtbl_node;
	unsigned create; /* enum create_rule */
	unsigned notify; /* enum notify_rule */
	uint64_t max_users, max_affiliations, max_rooms;
	uint64_t history, page_max, max_vcard, retention, rtbl_max;
	struct rate presence_rate, message_rate;
	bool archive, persistent, public, subscription, indicators;
};

enum create_rule { CREATE_LOCAL, CREATE_ADMIN, CREATE_ALL };

/* What an owner configures. Texts are on the heap. */
struct config {
	struct str name, desc, lang, password, pubsub;
	uint32_t max_users; /* 0: as many as the service allows */
	uint32_t history;
	uint8_t allow_pm;    /* enum pm_rule */
	uint8_t notify;	     /* enum notify_rule: of members outside */
	uint8_t whois;	     /* 0 moderators, 1 anyone */
	uint8_t broadcast;   /* bits: 1 << enum role */
	uint8_t member_list; /* bits likewise: who may read the lists */
	bool is_persistent, is_public, is_members_only, is_moderated;
	bool has_password, may_change_subject, may_invite, is_archived;
	bool is_logged, may_register, may_ask_voice, may_query;
	bool may_visitor_nick, may_visitor_status, may_subscribe;
	bool is_approving; /* admins decide who registers */
	/* Not in the form: */
	bool was_open;	   /* real addresses may be in the archive */
	struct str avatar; /* SHA-1 of the picture, hexadecimal, or none */
	unsigned char secret[32]; /* of occupant ids */
	int64_t created;
};

/* Somebody's standing, kept; one allocation with its texts. */
struct affiliation {
	struct str jid; /* bare, or a domain: the key */
	struct str nick, reason;
	enum aff aff;
	uint32_t mark; /* r->mark: is in the room */
	int64_t left;  /* when he was in the room last, or 0 */
	char text[];
};

/*
 * One joined client. Clients of one account with one nick make a ring; the
 * map of nicks has the one that was heard of last.
 */
struct occupant {
	struct list node; /* in room->occupants, by time of joining */
	struct room *room;
	struct occupant *ring;
	struct str jid; /* full, real */
	struct str nick;
	struct str presence; /* rendered, on the heap; none: nothing to tell */
	uint32_t bare_len;   /* of jid */
	uint8_t role, aff;
	bool is_late;		 /* its presence waits to be told */
	float tokens, words;	 /* of presence, of messages */
	uint64_t filled, worded; /* when they were counted last */
	char text[];
};

/* Waits for its history; what it sends meanwhile waits too. */
struct join {
	struct list node; /* in room->joins */
	struct room *room;
	struct stanza *st;
	struct list waiting; /* stanzas */
	unsigned count;
	struct list missed; /* said meanwhile: struct past */
	unsigned missed_count;
};

/* A message that was said. */
struct past {
	struct list node;
	struct str id, xml;
	char text[];
};

struct hat {
	struct list node;
	struct str uri, title, hue;
	struct map jids; /* bare JIDs that wear it; values are the keys */
};

struct room {
	struct jid jid; /* bare; on the heap */
	struct mod *mod;
	unsigned removals;   /* tombstones that are not in the archive yet */
	struct list readers; /* queries of the archive behind them */
	bool is_loading, is_there, is_locked, is_stored;
	unsigned holds;	     /* callbacks under way */
	struct list waiting; /* stanzas, while it is loaded */
	unsigned waiting_count;
	struct list calls; /* likewise */
	struct config config;
	struct map affs;     /* bare JID: struct affiliation */
	struct map reserved; /* nick: struct affiliation */
	unsigned owners;
	struct map subs;      /* bare JID: struct sub */
	struct map sub_nicks; /* nick: the same */
	uint32_t mark;	      /* of the last look at who is there */
	float asked;	      /* of requests to register */
	uint64_t asked_at;
	uint64_t indicator_epoch; /* muc's, when all had been told */
	struct list occupants;
	struct map by_jid, by_nick;
	struct list joins;
	struct list past; /* without an archive: the last messages */
	unsigned past_count;
	struct str subject; /* <message/>, rendered, on the heap; or none */
	int64_t subject_time;
	struct list hats;
	uint64_t version;    /* of the affiliations */
	struct list changes; /* of them, the latest */
	unsigned change_count;
	int64_t active;	       /* when something was said last */
	int64_t spoken;	       /* the same, or 0 if not since it was loaded */
	int64_t left;	       /* when a member left last, in the same way */
	struct tally *said;    /* how much; NULL: nothing */
	struct list late_node; /* in muc->late */
	struct list idle_node; /* in muc->idle */
	uint64_t idle_since;
};

/* State of an instance. */
struct muc {
	struct mod *mod;
	struct map rooms; /* bare JID: struct room */
	struct list idle, late;
	struct timer sweep, tell, expiry;
	size_t occupants;
	struct map nicks;      /* nick: struct nick_row; of the whole service */
	struct map nick_jids;  /* bare JID: the same rows */
	struct map indicators; /* bare JID: struct indicator */
	uint64_t indicator_epoch;
	struct list inbox; /* stanzas that have come */
	struct blocklist *rtbl;
	bool is_stopped, is_called;
};

/* ---- room.c ------------------------------------------------------------ */

struct room *room_get(struct mod *m, const struct jid *bare);
struct room *room_peek(struct mod *m, struct str bare);
/* Handles it now, or when the room has been loaded. Takes it over. */
void room_put(struct room *r, struct stanza *st);
/*
 * fn(ctx, room) now, or when the room has been loaded; the room may not
 * exist (is_there). NULL when the store failed.
 */
void room_call(struct mod *m, const struct jid *bare,
    void (*fn)(void *ctx, struct room *r), void *ctx);
/* It has been loaded, or could not be: all that waits goes on. */
void room_loaded(struct room *r, int err);
/* Keeps it across a callback; the release may free it. */
void room_hold(struct room *r);
void room_release(struct room *r);
/* It may have become empty. It may be freed. */
void room_settle(struct room *r);
/* Makes it exist, with `owner` (may be NULL) as its owner. */
void room_create(struct room *r, const struct jid *owner);
/* Everything that the room has, in the store and in memory; not occupants. */
void room_erase(struct room *r, store_done_fn *done, void *ctx);
void room_free(struct room *r);
const struct muc_options *room_options(const struct room *r);
/* Refuses with `by` set, and of that error type unless it is NULL. */
enum verdict room_refuse(const struct room *r, struct stanza *st,
    enum qname condition, const char *type, const char *text);

/* ---- approve.c ---------------------------------------------------------- */

/* Asks the admins; false when they have been asked too much of late. */
bool approval_ask(struct room *r, const struct jid *who, struct str nick);
/* An admin's answer: false when it is none. */
bool take_approval(struct room *r, struct stanza *st);

/* ---- rai.c ------------------------------------------------------------- */

void indicators_clear(struct muc *muc);
/* Something was said; a client has come; one is about to go. */
void indicators_tell(struct room *r);
void indicators_entered(struct room *r, const struct jid *who);
void indicators_left(struct room *r, const struct occupant *o);
/* Presence for the service itself; the stanza stays the caller's. */
void service_presence(struct mod *m, struct stanza *st);

/* ---- rtbl.c ------------------------------------------------------------- */

void rtbl_renew(struct mod *m);
/* On the list of those who are banned from everywhere, and nobody here. */
bool rtbl_bans(const struct room *r, const struct jid *who);

/* ---- store.c ----------------------------------------------------------- */

void room_load(struct room *r);
/* Writes that come to nothing for a room that is not persistent. */
struct store_write *room_write(struct room *r);
void save_config(struct room *r, struct store_write *w);
void save_subject(struct room *r, struct store_write *w);
void save_hats(struct room *r, struct store_write *w);
void save_changes(struct room *r, struct store_write *w);
void save_aff(
    struct room *r, struct store_write *w, const struct affiliation *a);
/* `bare` has none any more; nobody has. */
void save_no_aff(struct room *r, struct store_write *w, struct str bare);
void affs_unlist(struct room *r, struct store_write *w);
/* "bare JID, local part of a room", to find somebody's rooms. */
struct str index_key(struct arena *a, struct str bare, struct str local);
/* All of it, or nothing of it any more: after is_persistent changed. */
void save_all(struct room *r, struct store_write *w);
void save_nothing(struct room *r, struct store_write *w);
/* Commits, then answers the iq: a result, or an error. */
void room_commit(struct room *r, struct store_write *w, struct stanza *iq);

/* ---- config.c ---------------------------------------------------------- */

void config_init(struct config *c, const struct muc_options *o);
void config_fini(struct config *c);
void config_copy(struct config *to, const struct config *from);
/* Reads what of a form concerns us. NULL, or why not. */
const char *config_read(struct config *c, const struct elem *form);
void config_form(const struct room *r, struct elem *query);
/* As it is stored. */
struct elem *config_dump(struct arena *a, const struct config *c);
void config_load(struct config *c, const struct elem *form);
/* By ejabberd's name of the option. */
bool config_set(struct config *c, struct str option, struct str value);
json_t *config_json(struct arena *a, const struct config *c);
extern const char *const role_names[];
extern const char *const aff_names[];
bool role_parse(struct str text, enum role *role_r);
bool aff_parse(struct str text, enum aff *aff_r);

/* ---- officers.c --------------------------------------------------------- */

struct officers;
/* Adds to the form of the configuration the lists of owners and admins. */
void officers_add(const struct room *r, struct elem *form);
/* EL_NONE, or why not: a list without owners, say. */
enum qname officers_read(struct room *r, struct arena *a,
    const struct elem *form, struct officers **o_r);
void officers_set(struct room *r, struct arena *arena, const struct officers *o,
    struct store_write *w);

/* ---- aff.c ------------------------------------------------------------- */

struct affiliation *aff_find(const struct room *r, struct str bare);
/* With domains that are banned; administrators count as owners. */
enum aff aff_of(const struct room *r, const struct jid *jid);
enum aff right_of(const struct room *r, const struct jid *jid);
/* NULL when it was removed. Nick and reason: none leaves what is there. */
struct affiliation *aff_set(struct room *r, struct str bare, enum aff aff,
    struct str nick, struct str reason);
void affs_clear(struct room *r);
enum role role_by_default(const struct room *r, enum aff aff);
/* Who has reserved the nick, in the room; or NULL. */
struct affiliation *aff_by_nick(const struct room *r, struct str nick);

struct change {
	struct jid jid; /* bare */
	enum aff aff;
	struct str nick, reason;
	const struct occupant *actor; /* or NULL */
};
/* Sets, stores into `w` (may be NULL), and tells the occupants. */
void aff_change(struct room *r, const struct change *c, struct store_write *w);

/* May he read who has which affiliation, but for those who are banned? */
bool may_read_lists(const struct room *r, const struct jid *who);

/* ---- belongings.c ------------------------------------------------------- */

/* What an account has in the rooms of all our services. */
void on_belongings(struct mod *m, struct belongings *b);

/* ---- mav.c ------------------------------------------------------------- */

/* An affiliation has changed: there is a new version. */
void mav_note(struct room *r, struct str jid, enum aff aff);
void mav_clear(struct room *r);
struct elem *mav_dump(struct arena *a, const struct room *r);
void mav_load(struct room *r, const struct elem *mav);
/* Says that this version came, from that before; which there is now. */
void mav_add(struct elem *x, const struct room *r, uint64_t version);
void mav_add_now(struct elem *x, const struct room *r);
/* Who enters, and asks for it, is told; answers whether he was. */
bool mav_answer(const struct room *r, const struct stanza *presence);

/* ---- occupant.c -------------------------------------------------------- */

struct occupant *occupant_new(struct room *r, const struct jid *jid,
    struct str nick, enum aff aff, enum role role);
/* Out of the room, without a word; frees it. */
void occupant_free(struct occupant *o);
struct occupant *occupant_by_jid(const struct room *r, struct str full);
/* The one of the ring that was heard of last. */
struct occupant *occupant_by_nick(const struct room *r, struct str nick);
/* The same occupant with another nick: replaces it, in its ring alone. */
struct occupant *occupant_rename(struct occupant *o, struct str nick);
void occupant_heard(struct occupant *o);
struct jid occupant_jid(const struct occupant *o);
struct str occupant_bare(const struct occupant *o);
struct jid occupant_address(struct arena *a, const struct occupant *o);
struct str occupant_id(struct arena *a, const struct room *r, struct str bare);
size_t room_size(const struct room *r);
/* All of one ring: for (s = o; s != NULL; s = ring_next(o, s)). */
static inline struct occupant *
ring_next(const struct occupant *first, const struct occupant *o)
{
	return o->ring != first ? o->ring : NULL;
}
static inline bool
is_same_nick(const struct occupant *a, const struct occupant *b)
{
	return a->nick.n == b->nick.n &&
	       memcmp(a->nick.p, b->nick.p, a->nick.n) == 0;
}
/* One more stanza of that bucket: false when there were too many. */
bool rate_take(float *tokens, uint64_t *filled, const struct rate *rate);

/* ---- presence.c -------------------------------------------------------- */

#define CODES_MAX 6

/* What is told about an occupant. */
struct note {
	struct occupant *o;
	bool is_gone;
	uint16_t codes[CODES_MAX];     /* for all, ended by 0 */
	uint16_t own_codes[CODES_MAX]; /* besides 110, for itself */
	struct str new_nick;	       /* 303 */
	struct str reason;
	const struct occupant *actor;
	const struct elem *payload; /* instead of the presence kept */
	const struct elem *destroy; /* a child for <x/> */
	bool was_shown;		    /* its last presence was broadcast */
	uint64_t version;   /* of the affiliations, that this led to; or 0 */
	bool tells_version; /* which there is now */
};
/* To itself, and to the others if its role is one that is shown. */
void note_tell(const struct note *n);
/* Only to itself; only the others. */
void note_tell_own(const struct note *n, const struct occupant *session);
void note_tell_others(const struct note *n);
/* All that are in the room, to one of them. */
void presence_show_all(struct occupant *to);
/* Keeps what the client's presence has to say; false when it is too big. */
bool presence_keep(struct occupant *o, const struct elem *presence);
bool may_see_jids(const struct room *r, const struct occupant *o);
/* To all occupants; takes it over. `only_seers`: who may see addresses. */
void room_spread(struct room *r, struct stanza *st, bool only_seers);
/* <message type='groupchat'> from the room with status codes. */
void room_tell_codes(struct room *r, const uint16_t *codes);
void add_status(struct elem *x, unsigned code);

/* ---- join.c, leave.c, nick.c ------------------------------------------- */

void join_room(struct room *r, struct stanza *st);
struct join *join_find(const struct room *r, struct str full);
void join_wait(struct join *j, struct stanza *st);
/* It was said while some wait for their history. */
void joins_note(struct room *r, struct str id, struct str xml);
enum qname nick_check(const struct room *r, const struct jid *who,
    struct str nick, const char **text_r);
/* Is there a nick of the service's for another? */
bool nick_is_taken(const struct room *r, struct str nick, struct str bare);
struct past *past_new(struct str id, struct str xml);
void past_free(struct past *p);
void past_drop(struct room *r, struct str id);

void leave_room(struct occupant *o, struct stanza *st);
/* Removes all clients of the nick; tells why. */
void remove_nick(struct occupant *o, const uint16_t *codes,
    const struct occupant *actor, struct str reason);
/* Because his affiliation has changed. */
void remove_changed(
    struct occupant *o, const uint16_t *codes, const struct change *c);
/* One client, whose link is broken: 333. */
void remove_client(struct occupant *o);
void not_in_room(struct room *r, struct stanza *st);
/* All of them, when it is destroyed. */
void room_evict(struct room *r, const struct elem *destroy);
/* ... or when the service ends: 332. */
void room_shut(struct room *r);

void change_nick(struct occupant *o, struct stanza *st);
void change_presence(struct occupant *o, struct stanza *st);

/* ---- message.c, retract.c, invite.c, request.c ------------------------- */

void message_to_room(struct room *r, struct stanza *st);
void message_to_occupant(struct room *r, struct stanza *st);
/* From nobody in particular (commands): keeps and spreads it. */
void message_spread(struct room *r, struct occupant *from, struct stanza *st);
bool message_is_kept(const struct elem *message);
double room_activity(const struct room *r);

void on_retraction(
    struct room *r, const struct occupant *from, const struct elem *message);
enum verdict on_moderate(struct room *r, struct stanza *iq);

bool take_invite(struct room *r, struct stanza *st);
bool take_request(struct room *r, struct stanza *st);

/* ---- sub.c, subtell.c: see sub.h ---------------------------------------- */

void subs_clear(struct room *r);
/* Takes the room's subscriptions from the service's list. */
void subs_unlist(struct room *r, struct store_write *w);
/* Those go who may not enter any more. `w` may be NULL. */
void subs_prune(struct room *r, struct store_write *w);
/* To subscribers who are not in the room; copies it. */
void subs_tell(struct room *r, enum sub_node node, const struct stanza *inner);
/* The room is destroyed. */
void subs_tell_end(struct room *r, const struct elem *destroy);
/* The same for members, of a message, if the room is configured so. */
void members_tell(struct room *r, const struct stanza *st);
enum verdict on_subscribe(struct room *r, struct stanza *iq);
enum verdict on_unsubscribe(struct room *r, struct stanza *iq);
enum verdict on_subscribers(struct room *r, struct stanza *iq);
enum verdict service_subscriptions(struct mod *m, struct stanza *iq);

/* ---- iqs --------------------------------------------------------------- */

void iq_to_room(struct room *r, struct stanza *iq);
void iq_to_occupant(struct room *r, struct stanza *iq);
enum verdict on_admin(struct room *r, struct stanza *iq);
enum verdict on_owner(struct room *r, struct stanza *iq);
/* Puts a configuration in the place of the present one, and tells. */
void room_configure(struct room *r, struct config *c, struct store_write *w);
void room_destroy(
    struct room *r, const struct elem *destroy, store_done_fn *done, void *ctx);
enum verdict on_disco_info(struct room *r, struct stanza *iq);
enum verdict on_disco_items(struct room *r, struct stanza *iq);
enum verdict on_register(struct room *r, struct stanza *iq);
enum verdict on_mam(struct room *r, struct stanza *iq);
enum verdict on_vcard(struct room *r, struct stanza *iq);
enum verdict on_hats(struct room *r, struct stanza *iq);
void hats_add(const struct room *r, struct elem *presence, struct str bare);
struct elem *hats_dump(struct arena *a, const struct room *r);
void hats_load(struct room *r, const struct elem *hats);
void hats_clear(struct room *r);
/* Adds <x xmlns='vcard-temp:x:update'/> presence of the room itself. */
void avatar_tell(struct room *r, const struct occupant *to);

/* ---- service.c --------------------------------------------------------- */

void service_stanza(struct mod *m, struct stanza *st);
void nicks_load(struct mod *m);
void nicks_clear(struct muc *muc);
/* The nick that the account has registered with the service, or none. */
struct str nick_registered(struct mod *m, struct str bare);
/*
 * Registers, or with nick none removes; done(ctx, err) on the calling loop:
 * ERR_EXISTS, ERR_ABSENT, ERR_STORE.
 */
void nick_register(struct mod *m, struct str bare, struct str nick,
    store_done_fn *done, void *ctx);
bool may_create(struct mod *m, const struct jid *who);
enum verdict service_register(struct mod *m, struct stanza *iq);

extern const struct command muc_commands[];

#endif
