/* SPDX-License-Identifier: MIT */
/* ejabberd's commands of the tags muc and muc_room. */
#include "modules/muc/commands.h"

#define ARG(name_) \
	{ \
		.name = (name_), .type = "string" \
	}
#define ROOM \
	{ .name = "room", .type = "string", .old_name = "name" }, ARG("servic" \
								      "e")
#define SERVICE \
	{ \
		.name = "service", .type = "string", .old_name = "host" \
	}
#define NODES \
	{ \
		.name = "nodes", .type = "[node:string]" \
	}
#define DAYS_ARG \
	{ \
		.name = "days", .type = "integer" \
	}
/* The arguments come last. */
#define COMMAND(tag_, name_, help_, result_name_, result_, version_, ...) \
	{ \
		.name = #name_, .tag = (tag_), .help = (help_), \
		.args = { __VA_ARGS__ }, .result_name = (result_name_), \
		.result = (result_), .run = run_##name_, \
		.version = (version_), \
	}
#define ROOM_COMMAND(...) COMMAND("muc_room", __VA_ARGS__)
#define MUC_COMMAND(...) COMMAND("muc", __VA_ARGS__)

const struct command muc_commands[] = {
	ROOM_COMMAND(change_room_option, "Change an option in a room", "res",
	    "rescode", 0, ROOM, ARG("option"), ARG("value")),
	ROOM_COMMAND(create_room, "Create a room in a service", "res",
	    "rescode", 0, ROOM, ARG("host")),
	ROOM_COMMAND(create_room_with_opts,
	    "Create a room in a service, with these options", "res", "rescode",
	    0, ROOM, ARG("host"),
	    { .name = "options", .type = "[{name:string, value:string}]" }),
	ROOM_COMMAND(destroy_room, "Destroy a room", "res", "rescode", 0, ROOM),
	ROOM_COMMAND(get_room_affiliation,
	    "Get the affiliation of a user in a room", "affiliation", "atom", 0,
	    ROOM, ARG("jid")),
	ROOM_COMMAND(get_room_affiliations,
	    "Get the list of affiliations of a room", "affiliations",
	    "[{jid:string, affiliation:atom, reason:string}]", 3, ROOM),
	ROOM_COMMAND(get_room_history, "Get history of messages of a room",
	    "history", "[{timestamp:string, message:string}]", 0, ROOM),
	ROOM_COMMAND(get_room_occupants, "Get the list of occupants of a room",
	    "occupants", "[{jid:string, nick:string, role:string}]", 0, ROOM),
	ROOM_COMMAND(get_room_occupants_number,
	    "Get the number of occupants of a room", "occupants", "integer", 0,
	    ROOM),
	ROOM_COMMAND(get_room_options, "Get the options of a room", "options",
	    "[{name:string, value:string}]", 0, ROOM),
	ROOM_COMMAND(get_subscribers, "List the subscribers of a room",
	    "subscribers", "[jid:string]", 0, ROOM),
	ROOM_COMMAND(send_direct_invitation,
	    "Send a direct invitation to several destinations", "res",
	    "rescode", 1, ROOM, ARG("password"), ARG("reason"),
	    { .name = "users", .type = "[jid:string]" }),
	ROOM_COMMAND(set_room_affiliation, "Change an affiliation in a room",
	    "res", "rescode", 3, ROOM, ARG("user"), ARG("host"),
	    ARG("affiliation")),
	ROOM_COMMAND(subscribe_room, "Subscribe a user to a room (MUC/Sub)",
	    "nodes", "[node:string]", 3, ARG("user"), ARG("host"), ARG("nick"),
	    ROOM, NODES),
	ROOM_COMMAND(subscribe_room_many,
	    "Subscribe several users to a room (MUC/Sub)", "res", "rescode", 3,
	    { .name = "users",
		.type = "[{user:string, host:string, nick:string}]" },
	    ROOM, NODES),
	ROOM_COMMAND(unsubscribe_room, "End a user's subscription to a room",
	    "res", "rescode", 3, ARG("user"), ARG("host"), ROOM),

	MUC_COMMAND(get_user_subscriptions,
	    "Get the rooms that a user has subscribed to", "rooms",
	    "[{roomjid:string, usernick:string, nodes:[node:string]}]", 0,
	    ARG("user"), ARG("host")),
	MUC_COMMAND(create_rooms_file,
	    "Create the rooms that a file names, one address a line", "res",
	    "rescode", 0, ARG("file")),
	MUC_COMMAND(destroy_rooms_file,
	    "Destroy the rooms that a file names, one address a line", "res",
	    "rescode", 0, ARG("file")),
	MUC_COMMAND(get_user_rooms, "Get the rooms where a user is occupant",
	    "rooms", "[room:string]", 0, ARG("user"), ARG("host")),
	MUC_COMMAND(muc_online_rooms,
	    "List the rooms of a service ('global' to get all)", "rooms",
	    "[room:string]", 0, SERVICE),
	MUC_COMMAND(muc_online_rooms_by_regex,
	    "List the rooms whose address matches a regular expression",
	    "rooms", "[{jid:string, public:string, participants:integer}]", 0,
	    SERVICE, ARG("regex")),
	MUC_COMMAND(muc_online_rooms_count,
	    "Count the rooms of a service ('global' for all)", "count",
	    "integer", 0, SERVICE),
	MUC_COMMAND(muc_register_nick,
	    "Register a nickname in a service, for a user", "res", "rescode", 3,
	    ARG("nick"), ARG("user"), ARG("host"), ARG("service")),
	MUC_COMMAND(muc_unregister_nick,
	    "Unregister the nickname of a user in a service", "res", "rescode",
	    3, ARG("user"), ARG("host"), ARG("service")),
	MUC_COMMAND(muc_get_registered_nick,
	    "Get the nickname that a user has registered in a service", "nick",
	    "string", 0, ARG("user"), ARG("host"), ARG("service")),
	MUC_COMMAND(muc_get_registered_nicks,
	    "List the nicknames that are registered in a service",
	    "registrations", "[{user:string, host:string, nick:string}]", 0,
	    ARG("service")),
	MUC_COMMAND(rooms_empty_list,
	    "List the rooms that nobody is in ('global' for all services)",
	    "rooms", "[room:string]", 0, SERVICE),
	MUC_COMMAND(rooms_empty_destroy, "Destroy the rooms that nobody is in",
	    "res", "restuple", 2, SERVICE),
	MUC_COMMAND(rooms_unused_list,
	    "List the rooms that are empty and silent for so many days",
	    "rooms", "[room:string]", 0, SERVICE, DAYS_ARG),
	MUC_COMMAND(rooms_unused_destroy,
	    "Destroy the rooms that are empty and silent for so many days",
	    "rooms", "[room:string]", 0, SERVICE, DAYS_ARG),
	MUC_COMMAND(rooms_unused_destroy_skip_notifications,
	    "Destroy such rooms without telling subscribers", "rooms",
	    "[room:string]", 0, SERVICE, DAYS_ARG),
	COMMANDS_END,
};
