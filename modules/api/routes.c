/* SPDX-License-Identifier: MIT */
/* What there is: the one table of routes, and what they answer. */
#include "modules/api/api.h"

#define FROM \
	{ \
		.name = "from_user_id", .in = IN_BODY, .type = P_USER, \
		.is_needed = true, .help = "who sends, a user of this host" \
	}
#define TO_ROOM \
	{ \
		.name = "room", .in = IN_BODY, .type = P_ROOM, \
		.help = "instead: a room" \
	}
#define TEXT \
	{ \
		.name = "text", .in = IN_BODY, .type = P_TEXT, \
		.is_needed = true, .min = 1, .max = TEXT_MAX, \
		.help = "what is said" \
	}
#define TIMESTAMP \
	{ \
		.name = "timestamp", .in = IN_BODY, .type = P_TIME, \
		.help = "when it was written, if not now" \
	}
#define ROOM_ID \
	{ \
		.name = "room_id", .in = IN_PATH, .type = P_ROOM, \
		.is_needed = true, .help = "the room" \
	}
#define USER_ID \
	{ \
		.name = "user_id", .in = IN_PATH, .type = P_USER, \
		.is_needed = true, .help = "the user" \
	}
#define FROM_QUERY \
	{ \
		.name = "from_user_id", .in = IN_QUERY, .type = P_USER, \
		.help = "who sent" \
	}
#define TO_QUERY \
	{ \
		.name = "to_user_id", .in = IN_QUERY, .type = P_USER, \
		.help = "to whom" \
	}
#define CONVERSATION \
	{ \
		.name = "conversation", .in = IN_QUERY, .type = P_BOOL, \
		.help = "true: what was sent the other way, too" \
	}
#define SINCE \
	{ \
		.name = "since", .in = IN_QUERY, .type = P_TIME, \
		.help = "not older than this" \
	}
#define UNTIL \
	{ \
		.name = "until", .in = IN_QUERY, .type = P_TIME, \
		.help = "not newer than this" \
	}
#define AFTER \
	{ \
		.name = "after", .in = IN_QUERY, .type = P_TEXT, .min = 1, \
		.max = 1000, .help = "'next' of the page before" \
	}
#define LIMIT \
	{ \
		.name = "limit", .in = IN_QUERY, .type = P_UINT, .min = 1, \
		.max = PAGE_MAX, .help = "most items of the page; usually 50" \
	}
#define ORDER \
	{ \
		.name = "order", .in = IN_QUERY, .type = P_CHOICE, \
		.choices = "asc desc", .help = "oldest first, or newest first" \
	}
#define BODY_TEXT(name_, min_, max_, help_) \
	{ \
		.name = (name_), .in = IN_BODY, .type = P_TEXT, .min = (min_), \
		.max = (max_), .help = (help_) \
	}

const struct route routes[] = {
	{ "GET", "/users/{user_id}", "getUser", "users:read",
	    "One user of the host", 200, "User", run_user, NULL, { USER_ID } },
	{ "PATCH", "/users/{user_id}", "changeUser", "users:write",
	    "Change what is known of a user; an empty text removes it", 200,
	    "User", run_user_change, NULL,
	    { USER_ID, BODY_TEXT("first_name", 0, 200, "the given name"),
		BODY_TEXT("last_name", 0, 200, "the family name"),
		BODY_TEXT("email_addr", 0, 320, "where mail reaches him") } },
	{ "POST", "/messages", "sendMessage", "messages:write",
	    "Send a text to a user, to several, or to a room. It is answered "
	    "when it is durable",
	    201, "Sent", run_send, "from_user_id",
	    { FROM,
		{ .name = "to_user_id",
		    .in = IN_BODY,
		    .type = P_USERS,
		    .max = RECIPIENTS_MAX,
		    .help = "to whom: one, or a list" },
		TO_ROOM, TEXT, TIMESTAMP } },
	{ "GET", "/messages", "listMessages", "messages:read",
	    "Messages from one user, to one, or between two; give at least "
	    "one of them",
	    200, "Messages", run_messages, NULL,
	    { FROM_QUERY, TO_QUERY, CONVERSATION, SINCE, UNTIL, AFTER, LIMIT,
		ORDER } },
	{ "POST", "/media", "sendMedia", "media:write",
	    "Announce a photo, a video or another file: PUT it to upload_url, "
	    "and the message with its address goes out",
	    201, "Upload", run_media_new, "from_user_id",
	    { FROM,
		{ .name = "to_user_id",
		    .in = IN_BODY,
		    .type = P_USER,
		    .help = "to whom" },
		TO_ROOM,
		{ .name = "filename",
		    .in = IN_BODY,
		    .type = P_TEXT,
		    .is_needed = true,
		    .min = 1,
		    .max = 255,
		    .help = "its name, without a path" },
		{ .name = "size",
		    .in = IN_BODY,
		    .type = P_UINT,
		    .is_needed = true,
		    .min = 1,
		    .max = (uint64_t)1 << 40,
		    .help = "its bytes" },
		{ .name = "content_type",
		    .in = IN_BODY,
		    .type = P_TEXT,
		    .is_needed = true,
		    .min = 3,
		    .max = 127,
		    .help = "such as image/jpeg" } } },
	{ "GET", "/media", "listMedia", "media:read",
	    "Files that came with messages, as /messages", 200, "MediaList",
	    run_media, NULL,
	    { FROM_QUERY, TO_QUERY, CONVERSATION, SINCE, UNTIL, AFTER, LIMIT,
		ORDER } },
	{ "GET", "/rooms", "listRooms", "rooms:read", "Rooms of the host", 200,
	    "Rooms", run_rooms, NULL, { AFTER, LIMIT } },
	{ "POST", "/rooms", "createRoom", "rooms:write", "Make a room", 201,
	    "Room", run_room_new, "owner_user_id",
	    { { .name = "room_id",
		  .in = IN_BODY,
		  .type = P_ROOM,
		  .is_needed = true,
		  .help = "its name" },
		{ .name = "owner_user_id",
		    .in = IN_BODY,
		    .type = P_USER,
		    .is_needed = true,
		    .help = "its owner, a user of this host" },
		BODY_TEXT("title", 0, 512, "how it is shown"),
		BODY_TEXT("description", 0, 4096, "what it is about"),
		{ .name = "is_public",
		    .in = IN_BODY,
		    .type = P_BOOL,
		    .help = "is it listed where everybody finds it?" },
		{ .name = "members_only",
		    .in = IN_BODY,
		    .type = P_BOOL,
		    .help = "may only members enter?" },
		{ .name = "members",
		    .in = IN_BODY,
		    .type = P_USERS,
		    .max = MEMBERS_MAX,
		    .help = "its members, besides the owner" } } },
	{ "GET", "/rooms/{room_id}", "getRoom", "rooms:read", "One room", 200,
	    "Room", run_room, NULL, { ROOM_ID } },
	{ "DELETE", "/rooms/{room_id}", "deleteRoom", "rooms:write",
	    "End a room", 204, NULL, run_room_end, NULL, { ROOM_ID } },
	{ "GET", "/rooms/{room_id}/members", "listMembers", "rooms:read",
	    "Who has which standing in a room", 200, "Members", run_members,
	    NULL, { ROOM_ID } },
	{ "PUT", "/rooms/{room_id}/members/{user_id}", "setMember",
	    "rooms:write", "Make somebody a member, or more", 204, NULL,
	    run_member_set, NULL,
	    { ROOM_ID, USER_ID,
		{ .name = "affiliation",
		    .in = IN_BODY,
		    .type = P_CHOICE,
		    .choices = "member admin owner outcast",
		    .help = "member, unless it is given" } } },
	{ "DELETE", "/rooms/{room_id}/members/{user_id}", "removeMember",
	    "rooms:write", "Take a standing away", 204, NULL, run_member_end,
	    NULL, { ROOM_ID, USER_ID } },
	{ "POST", "/rooms/{room_id}/messages", "sendToRoom", "messages:write",
	    "Say something in a room, for a user who need not be there", 201,
	    "Sent", run_room_send, "from_user_id",
	    { ROOM_ID, FROM, TEXT, TIMESTAMP } },
	{ "GET", "/rooms/{room_id}/messages", "listRoomMessages",
	    "messages:read", "What was said in a room", 200, "Messages",
	    run_room_messages, NULL,
	    { ROOM_ID, SINCE, UNTIL, AFTER, LIMIT, ORDER } },
	{ "GET", "/openapi.json", "getDocument", NULL, "This document", 200,
	    NULL, run_openapi, NULL, { { .name = NULL } } },
	{ .path = NULL },
};

/* "?": it may be null; "*": it may be left out. */
const struct field fields[] = {
	{ "User", "user_id", "string", "the address" },
	{ "User", "first_name", "string?", "the given name" },
	{ "User", "last_name", "string?", "the family name" },
	{ "User", "email_addr", "string?", "where mail reaches him" },
	{ "User", "online", "boolean", "is a client of his connected?" },
	{ "User", "last_seen", "time?", "when the last session ended" },
	{ "Sent", "message_id", "string?",
	    "of the message; null when there were several" },
	{ "Sent", "recipients", "[Recipient]*", "when there were several" },
	{ "Recipient", "to_user_id", "string", "to whom" },
	{ "Recipient", "message_id", "string?", "null if it was not sent" },
	{ "Recipient", "status", "string", "sent, refused or failed" },
	{ "Message", "message_id", "string", "as it was told to its sender" },
	{ "Message", "from_user_id", "string?",
	    "who sent; null where a room does not tell" },
	{ "Message", "to_user_id", "string*", "to whom" },
	{ "Message", "room_id", "string*", "in which room" },
	{ "Message", "nick", "string?*", "by which name in the room" },
	{ "Message", "timestamp", "time", "when" },
	{ "Message", "text", "string?", "what was said" },
	{ "Message", "photo_url", "string?", "a photo's address" },
	{ "Message", "video_url", "string?", "a video's address" },
	{ "Message", "media_url", "string?", "a file's, whatever it is" },
	{ "Message", "content_type", "string?", "what the file is" },
	{ "Messages", "messages", "[Message]", "the page" },
	{ "Messages", "next", "string?",
	    "for 'after' of the next page; null: this is the last" },
	{ "Media", "message_id", "string", "of the message it came with" },
	{ "Media", "from_user_id", "string", "who sent" },
	{ "Media", "to_user_id", "string", "to whom" },
	{ "Media", "timestamp", "time", "when" },
	{ "Media", "url", "string", "where it is" },
	{ "Media", "content_type", "string?", "what it is" },
	{ "Media", "filename", "string?", "its name" },
	{ "Media", "size", "integer?", "its bytes" },
	{ "MediaList", "media", "[Media]", "the page" },
	{ "MediaList", "next", "string?", "for 'after' of the next page" },
	{ "Upload", "message_id", "string",
	    "of the message that goes out with the file" },
	{ "Upload", "upload_url", "string", "where to PUT the file" },
	{ "Upload", "method", "string", "PUT" },
	{ "Upload", "content_type", "string", "to be sent with it" },
	{ "Upload", "url", "string", "where the file will be" },
	{ "Upload", "expires", "time", "how long it may be put" },
	{ "Room", "room_id", "string", "the address" },
	{ "Room", "title", "string", "how it is shown" },
	{ "Room", "description", "string", "what it is about" },
	{ "Room", "is_public", "boolean", "is it listed?" },
	{ "Room", "members_only", "boolean", "may only members enter?" },
	{ "RoomName", "room_id", "string", "the address" },
	{ "Rooms", "rooms", "[RoomName]", "the page" },
	{ "Rooms", "next", "string?", "for 'after' of the next page" },
	{ "Member", "user_id", "string", "who" },
	{ "Member", "affiliation", "string",
	    "owner, admin, member or outcast" },
	{ "Members", "members", "[Member]", "all of them" },
	{ "Problem", "type", "string", "what kind it is of" },
	{ "Problem", "title", "string", "the status in words" },
	{ "Problem", "status", "integer", "the status" },
	{ "Problem", "detail", "string", "what is wrong, for people" },
	{ .schema = NULL },
};
