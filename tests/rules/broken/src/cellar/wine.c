/* SPDX-License-Identifier: MIT */
/* A room that the rule does not name; it is not built. */
