/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_ENVIRONMENT_H
#define TARN_CLI_ENVIRONMENT_H

/* This process's environment with the variable `name` set to `value`, or without it when `value` is
 * NULL. `base` is the environment to start from; NULL: this process's. */
char **cli_environment_with(char *const *base, const char *name, const char *value);

#endif
