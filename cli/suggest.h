/* SPDX-License-Identifier: MIT */
#ifndef TARN_CLI_SUGGEST_H
#define TARN_CLI_SUGGEST_H

/* The word of `known`, a list that ends in NULL, that `word` is most likely a slip of; NULL when
 * none is near: more than a third of the letters wrong, where two letters in the wrong order count
 * as one. */
const char *cli_suggest(const char *word, const char *const *known);

#endif
