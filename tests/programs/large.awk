# SPDX-License-Identifier: MIT
# Writes a large C source for tests/programs/run: many functions that differ, big tables, long switches.
BEGIN {
    srand(1)
    print "#include <stdint.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
    for (i = 0; i < 200; i++) {
        printf "struct s%d { int a[%d]; double b; struct s%d *next; };\n", i, int(rand() * 50) + 1, i
        printf "static const uint32_t table%d[] = {", i
        for (j = 0; j < 40; j++) printf "%du,", int(rand() * 1000000000)
        print "};"
        printf "double f%d(struct s%d *s, int n)\n{\n    double sum = s->b;\n", i, i
        printf "    for (int i = 0; i < n; i++) {\n        switch ((i + s->a[0]) %% 12) {\n"
        for (j = 0; j < 12; j++)
            printf "        case %d: sum += table%d[(i * %d) %% 40] * %f; break;\n", j, i, int(rand() * 90) + 1, rand()
        print "        }\n        if (s->next != NULL && i % 3 == 0) { s = s->next; }\n    }"
        if (i > 0) printf "    if (sum > 1e9) { struct s%d o = {{n}, sum, NULL}; sum -= f%d(&o, n / 2); }\n", i - 1, i - 1
        printf "    char text[64];\n    snprintf(text, sizeof text, \"%%d function %d %%f\", n, sum);\n", i
        print "    return sum + (double)strlen(text);\n}"
    }
}
