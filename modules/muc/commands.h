/* SPDX-License-Identifier: MIT */
#ifndef MODULES_MUC_COMMANDS_H
#define MODULES_MUC_COMMANDS_H

#include "modules/muc/muc.h"

/*
 * The host of a service, by its domain; NULL, and the command has failed,
 * when there is none.
 */
struct host *cmd_service_host(struct cmd *c, struct str service);
/* Runs fn(c, room) at the room's home. The room exists. */
void cmd_at_room(struct cmd *c, void (*fn)(struct cmd *c, struct room *r));
/* The same for a room that may not exist. */
void cmd_at_any_room(struct cmd *c, void (*fn)(struct cmd *c, struct room *r));

/* Commands about one room, and about many. */
void run_change_room_option(struct cmd *c);
void run_create_room(struct cmd *c);
void run_create_room_with_opts(struct cmd *c);
void run_destroy_room(struct cmd *c);
void run_get_room_affiliation(struct cmd *c);
void run_get_room_affiliations(struct cmd *c);
void run_get_room_history(struct cmd *c);
void run_get_room_occupants(struct cmd *c);
void run_get_room_occupants_number(struct cmd *c);
void run_get_room_options(struct cmd *c);
void run_send_direct_invitation(struct cmd *c);
void run_set_room_affiliation(struct cmd *c);
void run_get_subscribers(struct cmd *c);
void run_subscribe_room(struct cmd *c);
void run_subscribe_room_many(struct cmd *c);
void run_unsubscribe_room(struct cmd *c);

void run_get_user_rooms(struct cmd *c);
void run_muc_online_rooms(struct cmd *c);
void run_muc_online_rooms_by_regex(struct cmd *c);
void run_muc_online_rooms_count(struct cmd *c);
void run_rooms_empty_list(struct cmd *c);
void run_rooms_empty_destroy(struct cmd *c);
void run_rooms_unused_list(struct cmd *c);
void run_rooms_unused_destroy(struct cmd *c);
void run_rooms_unused_destroy_skip_notifications(struct cmd *c);
void run_create_rooms_file(struct cmd *c);
void run_destroy_rooms_file(struct cmd *c);
void run_get_user_subscriptions(struct cmd *c);
void run_muc_register_nick(struct cmd *c);
void run_muc_unregister_nick(struct cmd *c);
void run_muc_get_registered_nick(struct cmd *c);
void run_muc_get_registered_nicks(struct cmd *c);

#endif
