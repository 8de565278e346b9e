/* SPDX-License-Identifier: MIT */
#include <tarn/overlay_tree.h>

#include <stdio.h>
#include <string.h>

/*
 * A program that is larger than its memory. Each routine is code for the small machine below, and the table that it
 * works on; both are read from a file when it is called, over another routine that nobody needs now. Routines call each
 * other across branches: the caller is displaced, and stands again at the same address when the call returns.
 *
 *     main(n):     the sum of root(tally(sine(7 i))) for i from n down to 1
 *     tally(x):    counts scramble(x), which it returns
 *
 * The table of `tally` is changed, and written back whenever it has to go.
 */

enum { MAIN, SINE, SCRAMBLE, ROOT, TALLY, ROUTINES };
enum { TABLE_MOST = 360, CODE_MOST = 64, VARIABLES = 4, STACK = 16 };

/* Each takes what it needs from the stack and leaves its result there. */
enum {
    PUSH,      /* the number that follows */
    GET,       /* the variable that follows; 0 is the argument */
    SET,       /* the variable that follows */
    ADD,       /* two numbers */
    SUBTRACT,  /* two numbers */
    MULTIPLY,  /* two numbers */
    REMAINDER, /* of two numbers; 0 if the second is */
    LOOK_UP,   /* a number in the table */
    COUNT,     /* adds one to an entry of the table */
    CALL,      /* the routine that follows */
    LOOP,      /* goes to the place that follows, unless the number is 0 */
    RETURN
};

/* A line for each step. */
/* clang-format off */
static const unsigned char main_code[] = {
    GET, 0, PUSH, 7, MULTIPLY, CALL, SINE, CALL, TALLY, CALL, ROOT,
    GET, 1, ADD, SET, 1,
    GET, 0, PUSH, 1, SUBTRACT, SET, 0,
    GET, 0, LOOP, 0,
    GET, 1, RETURN
};
static const unsigned char sine_code[] = {
    GET, 0, PUSH, 180, PUSH, 180, ADD, REMAINDER, LOOK_UP, RETURN
};
static const unsigned char scramble_code[] = {GET, 0, LOOK_UP, RETURN};
static const unsigned char root_code[] = {GET, 0, LOOK_UP, RETURN};
static const unsigned char tally_code[] = {
    GET, 0, CALL, SCRAMBLE, SET, 1,
    GET, 1, COUNT,
    GET, 1, RETURN
};
/* clang-format on */

/* As it is in the file and in memory. */
typedef struct routine {
    unsigned char code[CODE_MOST];
    unsigned table[]; /* as many entries as it has */
} routine;

static const struct {
    const char *name;
    const unsigned char *code;
    size_t code_size;
    size_t entries;
} kinds[ROUTINES] = {{"main", main_code, sizeof main_code, 0},
                     {"sine", sine_code, sizeof sine_code, 360},
                     {"scramble", scramble_code, sizeof scramble_code, 256},
                     {"root", root_code, sizeof root_code, 256},
                     {"tally", tally_code, sizeof tally_code, 256}};

static size_t size_of(int which)
{
    return sizeof(routine) + kinds[which].entries * sizeof(unsigned);
}

/* All the memory that routines ever have. */
static _Alignas(16) unsigned char area[1600];
static _Alignas(16) unsigned char spare[1100];
static tarn_overlay_tree tree;
static tarn_overlay_segment names[ROUTINES];

/* ---- the machine ---- */

static bool has_failed; /* a routine could not be made resident */

static unsigned call(int which, unsigned argument);

static unsigned run(int which, unsigned argument)
{
    unsigned stack[STACK] = {0};
    unsigned variables[VARIABLES] = {argument};
    unsigned *top = stack;
    for (size_t at = 0; !has_failed;) {
        /* After a call it stands where it stood before. */
        routine *it = tarn_overlay_address(&tree, names[which]);
        const unsigned char operation = it->code[at++];
        switch (operation) {
        case PUSH:
            *top++ = it->code[at++];
            break;
        case GET:
            *top++ = variables[it->code[at++]];
            break;
        case SET:
            variables[it->code[at++]] = *--top;
            break;
        case ADD:
            top--;
            top[-1] += top[0];
            break;
        case SUBTRACT:
            top--;
            top[-1] -= top[0];
            break;
        case MULTIPLY:
            top--;
            top[-1] *= top[0];
            break;
        case REMAINDER:
            top--;
            top[-1] = top[0] != 0 ? top[-1] % top[0] : 0;
            break;
        case LOOK_UP:
            top[-1] = it->table[top[-1]];
            break;
        case COUNT:
            it->table[*--top]++;
            has_failed = tarn_overlay_set_dirty(&tree, names[which]) != TARN_OK;
            break;
        case CALL:
            top[-1] = call(it->code[at++], top[-1]);
            break;
        case LOOP:
            at = *--top != 0 ? it->code[at] : at + 1;
            break;
        default:
            return top[-1];
        }
    }
    return 0;
}

static unsigned call(int which, unsigned argument)
{
    if (tarn_overlay_enter(&tree, names[which]) != TARN_OK) {
        has_failed = true;
        return 0;
    }
    const unsigned result = run(which, argument);
    has_failed = tarn_overlay_leave(&tree, names[which]) != TARN_OK || has_failed;
    return result;
}

/* ---- the same in C, to compare with ---- */

/* Tables with 256 entries have numbers below 256, so that each is good to look another one up with. */
static unsigned entry_of(int which, unsigned at)
{
    switch (which) {
    case SINE: /* from 0 to 200, as Bhaskara's formula has it */
    {
        const unsigned degrees = at % 180;
        const unsigned parabola = degrees * (180 - degrees);
        const unsigned height = 400 * parabola / (40500 - parabola);
        return at < 180 ? 100 + height : 100 - height;
    }
    case SCRAMBLE:
        return (at * 167 + 41) % 256;
    case ROOT: {
        unsigned root = 0;
        while ((root + 1) * (root + 1) <= at) {
            root++;
        }
        return root;
    }
    default:
        return 0;
    }
}

static unsigned expected(unsigned count, unsigned *tally)
{
    unsigned sum = 0;
    for (unsigned i = count; i > 0; i--) {
        const unsigned place = entry_of(SCRAMBLE, entry_of(SINE, i * 7 % 360));
        tally[place]++;
        sum += entry_of(ROOT, place);
    }
    return sum;
}

/* ---- the file ---- */

static bool write_file(FILE *file)
{
    for (int which = 0; which < ROUTINES; which++) {
        unsigned char code[CODE_MOST] = {0};
        memcpy(code, kinds[which].code, kinds[which].code_size);
        if (fwrite(code, sizeof code, 1, file) != 1) {
            return false;
        }
        for (unsigned at = 0; at < kinds[which].entries; at++) {
            const unsigned entry = entry_of(which, at);
            if (fwrite(&entry, sizeof entry, 1, file) != 1) {
                return false;
            }
        }
    }
    return fflush(file) == 0;
}

static tarn_status make_tree(int descriptor)
{
    uint64_t offset = 0;
    tarn_status status = TARN_OK;
    for (int which = 0; which < ROUTINES && status == TARN_OK; which++) {
        const tarn_overlay_segment_options options = {.name = kinds[which].name,
                                                      .size = size_of(which),
                                                      .source = TARN_OVERLAY_FILE,
                                                      .descriptor = descriptor,
                                                      .offset = offset,
                                                      .is_writable = which == TALLY};
        if (which == MAIN) {
            status = tarn_overlay_tree_init(
                &tree, &(tarn_overlay_tree_options){.name = "program",
                                                    .root = options,
                                                    .memory = {area, sizeof area},
                                                    .spare = {spare, sizeof spare}});
            names[MAIN] = tarn_overlay_tree_root(&tree);
        } else {
            status = tarn_overlay_tree_add(&tree, &options, &names[which]);
        }
        offset += size_of(which);
    }
    return status == TARN_OK ? tarn_overlay_tree_seal(&tree) : status;
}

/* What is in the file now is what should have been counted. */
static bool is_tally_in(FILE *file, const unsigned *tally)
{
    unsigned counts[256];
    const size_t offset = size_of(MAIN) + size_of(SINE) + size_of(SCRAMBLE) + size_of(ROOT);
    return fseek(file, (long)(offset + sizeof(routine)), SEEK_SET) == 0 &&
           fread(counts, sizeof counts, 1, file) == 1 && memcmp(counts, tally, sizeof counts) == 0;
}

int main(void)
{
    enum { ROUNDS = 200 };
    static unsigned tally[TABLE_MOST];
    FILE *file = tmpfile();
    if (file == NULL || !write_file(file)) {
        fputs("there is no room for a temporary file\n", stderr);
        return 1;
    }
    const tarn_status status = make_tree(fileno(file));
    if (status != TARN_OK) {
        fprintf(stderr, "%s\n", tarn_status_text(status));
        return 1;
    }
    const unsigned result = call(MAIN, ROUNDS);
    if (has_failed || tarn_overlay_flush(&tree) != TARN_OK) {
        char fault[200];
        tarn_overlay_tree_failure_text(&tree, fault, sizeof fault);
        fprintf(stderr, "%s\n", fault);
        return 1;
    }
    const tarn_overlay_stats stats = tarn_overlay_tree_stats(&tree);
    printf("%zu bytes of code and tables ran in %zu, with %zu to read ahead\n", stats.needs.sum,
           stats.needs.size, stats.needs.spare_size);
    printf("%llu calls, %llu returns to what had been displaced, %llu loads, %llu bytes read, %llu "
           "written\n",
           (unsigned long long)stats.enters, (unsigned long long)stats.restores,
           (unsigned long long)stats.loads, (unsigned long long)stats.bytes_read,
           (unsigned long long)stats.bytes_written);
    const bool is_good = result == expected(ROUNDS, tally) && is_tally_in(file, tally);
    printf("the result is %u, which is %s\n", result, is_good ? "right" : "wrong");
    tarn_overlay_tree_deinit(&tree);
    fclose(file);
    return is_good ? 0 : 1;
}
