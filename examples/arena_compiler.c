/* SPDX-License-Identifier: MIT */
#include <tarn/arena.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/*
 * A compiler's arenas: one for the whole program, which the names live in, and below it one for each function, which
 * ends when its code is written. The code itself is one text that grows at the end of its arena.
 * The language has sums, products, numbers and names; the code is for a machine with a stack.
 */

typedef struct node {
    char kind; /* '+', '*', 'n' for a number, 'v' for a name */
    long number;
    const char *name;
    struct node *left;
    struct node *right;
} node;

typedef struct name {
    struct name *next;
    const char *text;
} name;

typedef struct compiler {
    tarn_arena *program;  /* names live as long as this */
    tarn_arena *function; /* nodes and code as long as this */
    name *names;
    const char *at; /* in the source */
} compiler;

/* The one copy of the name that there is. */
static const char *intern(compiler *it, const char *start, size_t size)
{
    for (name *known = it->names; known != NULL; known = known->next) {
        if (strncmp(known->text, start, size) == 0 && known->text[size] == '\0') {
            return known->text;
        }
    }
    name *const made = TARN_ARENA_NEW(it->program, name);
    if (made == NULL) {
        return NULL;
    }
    made->text = tarn_arena_strndup(it->program, start, size);
    made->next = it->names;
    it->names = made;
    return made->text;
}

static node *make(compiler *it, char kind, node *left, node *right)
{
    node *const made = TARN_ARENA_NEW(it->function, node);
    if (made != NULL) {
        *made = (node){.kind = kind, .left = left, .right = right};
    }
    return made;
}

static node *parse_factor(compiler *it)
{
    node *made;
    if (isdigit((unsigned char)*it->at)) {
        made = make(it, 'n', NULL, NULL);
        while (made != NULL && isdigit((unsigned char)*it->at)) {
            made->number = made->number * 10 + (*it->at++ - '0');
        }
        return made;
    }
    const char *const start = it->at;
    while (isalpha((unsigned char)*it->at)) {
        it->at++;
    }
    made = make(it, 'v', NULL, NULL);
    if (made != NULL) {
        made->name = intern(it, start, (size_t)(it->at - start));
    }
    return made;
}

/* TERM = FACTOR { '*' FACTOR }, and a sum of terms the same with '+'. */
static node *parse(compiler *it, char operation)
{
    node *left = operation == '+' ? parse(it, '*') : parse_factor(it);
    while (left != NULL && *it->at == operation) {
        it->at++;
        node *const right = operation == '+' ? parse(it, '*') : parse_factor(it);
        left = right != NULL ? make(it, operation, left, right) : NULL;
    }
    return left;
}

static bool is_number(const node *tree, long number)
{
    return tree->kind == 'n' && tree->number == number;
}

/* What is known beforehand is calculated; times one and plus nothing go. */
static node *simplify(node *tree)
{
    if (tree->left == NULL) {
        return tree;
    }
    node *const left = simplify(tree->left);
    node *const right = simplify(tree->right);
    const bool is_sum = tree->kind == '+';
    if (left->kind == 'n' && right->kind == 'n') {
        left->number = is_sum ? left->number + right->number : left->number * right->number;
        return left;
    }
    if (is_number(left, is_sum ? 0 : 1)) {
        return right;
    }
    if (is_number(right, is_sum ? 0 : 1)) {
        return left;
    }
    tree->left = left;
    tree->right = right;
    return tree;
}

/* The code grows at its end, which costs nothing while it is the arena's newest block. */
static char *write_code(tarn_arena *arena, char *code, const node *tree)
{
    if (tree->kind == 'n') {
        return tarn_arena_printf_append(arena, code, "push %ld; ", tree->number);
    }
    if (tree->kind == 'v') {
        return tarn_arena_printf_append(arena, code, "load %s; ", tree->name);
    }
    code = write_code(arena, code, tree->left);
    code = code != NULL ? write_code(arena, code, tree->right) : NULL;
    return code != NULL
               ? tarn_arena_printf_append(arena, code, tree->kind == '+' ? "add; " : "mul; ")
               : NULL;
}

static bool tell(void *context, const tarn_arena_info *info)
{
    (void)context;
    printf("  %*s%-10s %6zu bytes used, %6zu held\n", (int)info->depth * 2, "", info->name,
           info->used, info->footprint);
    return true;
}

int main(void)
{
    static const char *const sources[] = {"price*quantity+0", "2*3*4+price*1+2*5",
                                          "a+b+c+price*quantity*1"};
    static const char *const expected[] = {
        "load price; load quantity; mul; ", "push 24; load price; add; push 10; add; ",
        "load a; load b; add; load c; add; load price; load quantity; mul; add; "};
    compiler it = {.program = tarn_arena_create(&(tarn_arena_options){.name = "program"})};
    if (it.program == NULL) {
        return 1;
    }
    bool is_good = true;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        it.function = tarn_arena_create(
            &(tarn_arena_options){.name = "function", .parent = it.program, .chunk_size = 4096});
        it.at = sources[i];
        node *const tree = it.function != NULL ? parse(&it, '+') : NULL;
        char *const code = tree != NULL ? write_code(it.function, NULL, simplify(tree)) : NULL;
        if (code == NULL) {
            fputs("no memory\n", stderr);
            return 1;
        }
        printf("%s\n  %s\n", sources[i], code);
        is_good = is_good && strcmp(code, expected[i]) == 0;
        if (i == 2) {
            (void)tarn_arena_visit_tree(it.program, tell, NULL);
        }
        tarn_arena_destroy(it.function);
    }
    /* What is still there belongs to the whole program. */
    unsigned names = 0;
    for (const name *known = it.names; known != NULL; known = known->next) {
        names++;
    }
    printf("%u names\n", names);
    tarn_arena_destroy(it.program);
    return is_good && names == 5 ? 0 : 1;
}
