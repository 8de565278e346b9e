/* SPDX-License-Identifier: MIT */

/*
 * A mix like a compiler's: names and types that live for the whole run; for each function a tree
 * in an arena of chunks, blocks and operands allocated one by one, arrays that grow, and at the
 * end of each phase everything of the phase is freed at once.
 */

#include "work.h"

enum { FUNCTIONS = 1400, NAMES = 16384, CHUNK = 4064, NODES_LOW = 400, NODES_HIGH = 4000 };

struct name {
    struct name *next; /* of its bucket */
    uint64_t hash;
    size_t length;
    char *text;
};

struct chunk {
    struct chunk *before;
    size_t used;
    unsigned char bytes[];
};

struct node {
    struct node *left;
    struct node *right;
    const struct name *name;
    uint32_t kind;
    uint32_t operands; /* words after the node */
};

struct instruction {
    struct instruction *next;
    struct operand *operands;
    uint64_t code;
};

struct operand {
    struct operand *next;
    const struct node *node;
    uint64_t value;
};

/* A basic block: a list of instructions, and arrays of its neighbours that grow by doubling. */
struct block {
    struct instruction *first;
    uint32_t *edges;
    size_t edge_count;
    size_t edge_capacity;
    uint64_t *live; /* one bit for each instruction of the function */
};

struct compiler {
    work_random random;
    uint64_t checksum;
    uint64_t ops;
    struct name *names[NAMES];
    struct chunk *chunks;
};

static void *take(struct compiler *compiler, size_t size)
{
    compiler->ops++;
    return work_got(malloc(size));
}

static const struct name *intern(struct compiler *compiler)
{
    const uint64_t hash = work_mix(work_size(&compiler->random, 1, 65535));
    struct name **bucket = &compiler->names[hash % NAMES];
    for (struct name *name = *bucket; name != NULL; name = name->next) {
        if (name->hash == hash) {
            return name;
        }
    }
    struct name *name = take(compiler, sizeof *name);
    *name = (struct name){*bucket, hash, 3 + (hash >> 32) % 30, NULL};
    name->text = take(compiler, name->length + 1);
    memset(name->text, (int)('a' + hash % 26), name->length);
    name->text[name->length] = '\0';
    *bucket = name;
    return name;
}

static void *arena_take(struct compiler *compiler, size_t size)
{
    if (compiler->chunks == NULL || compiler->chunks->used + size > CHUNK) {
        struct chunk *chunk = take(compiler, sizeof *chunk + CHUNK);
        *chunk = (struct chunk){.before = compiler->chunks};
        compiler->chunks = chunk;
    }
    void *place = compiler->chunks->bytes + compiler->chunks->used;
    compiler->chunks->used += (size + 15) & ~(size_t)15;
    return place;
}

static void arena_free(struct compiler *compiler)
{
    while (compiler->chunks != NULL) {
        struct chunk *chunk = compiler->chunks;
        compiler->chunks = chunk->before;
        free(chunk);
    }
}

/* A random tree of `count` nodes: about half of them below each child. */
static struct node *parse(struct compiler *compiler, uint32_t count)
{
    if (count == 0) {
        return NULL;
    }
    const uint32_t operands = work_below(&compiler->random, 6);
    struct node *node = arena_take(compiler, sizeof *node + operands * sizeof(uint64_t));
    const uint32_t left = work_below(&compiler->random, count);
    *node = (struct node){.kind = work_below(&compiler->random, 90), .operands = operands};
    node->name = node->kind < 30 ? intern(compiler) : NULL;
    memset(node + 1, (int)node->kind, operands * sizeof(uint64_t));
    node->left = parse(compiler, left);
    node->right = parse(compiler, count - 1 - left);
    return node;
}

static void add_instruction(struct compiler *compiler, struct block *block, const struct node *node)
{
    struct instruction *instruction = take(compiler, sizeof *instruction);
    *instruction = (struct instruction){block->first, NULL, node->kind};
    for (uint32_t i = 0; i < node->operands; i++) {
        struct operand *operand = take(compiler, sizeof *operand);
        *operand = (struct operand){instruction->operands, node, i};
        instruction->operands = operand;
    }
    block->first = instruction;
}

static void add_edge(struct compiler *compiler, struct block *block, uint32_t to)
{
    if (block->edge_count == block->edge_capacity) {
        block->edge_capacity = block->edge_capacity == 0 ? 2 : block->edge_capacity * 2;
        block->edges = work_got(realloc(block->edges, block->edge_capacity * sizeof(uint32_t)));
        compiler->ops++;
    }
    block->edges[block->edge_count++] = to;
}

/* Lowers a tree into the blocks, in order; each block takes about a dozen nodes. */
static void lower(struct compiler *compiler, const struct node *node, struct block *blocks,
                  uint32_t count, uint32_t *next)
{
    if (node == NULL) {
        return;
    }
    lower(compiler, node->left, blocks, count, next);
    const uint32_t at = (*next)++ / 12 % count;
    add_instruction(compiler, &blocks[at], node);
    if (node->kind < 12) {
        add_edge(compiler, &blocks[at], work_below(&compiler->random, count));
    }
    lower(compiler, node->right, blocks, count, next);
}

static void analyse(struct compiler *compiler, struct block *blocks, uint32_t count, uint32_t nodes)
{
    const size_t words = nodes / 64 + 1;
    for (uint32_t i = 0; i < count; i++) {
        blocks[i].live = work_got(calloc(words, sizeof(uint64_t)));
        compiler->ops++;
        for (size_t edge = 0; edge < blocks[i].edge_count; edge++) {
            const uint32_t to = blocks[i].edges[edge];
            blocks[i].live[to / 64 % words] |= 1u << (to & 31);
        }
    }
}

/* Emits the code of one block and frees all that the block holds. */
static void emit(struct compiler *compiler, struct block *block)
{
    uint64_t sum = block->live[0];
    while (block->first != NULL) {
        struct instruction *instruction = block->first;
        block->first = instruction->next;
        sum = sum * 31 + instruction->code;
        while (instruction->operands != NULL) {
            struct operand *operand = instruction->operands;
            instruction->operands = operand->next;
            sum = sum * 31 + operand->value + operand->node->kind;
            free(operand);
        }
        free(instruction);
    }
    free(block->edges);
    free(block->live);
    compiler->checksum = work_mix(compiler->checksum ^ sum);
}

static void compile(struct compiler *compiler)
{
    const uint32_t nodes = work_size(&compiler->random, NODES_LOW, NODES_HIGH);
    const struct node *tree = parse(compiler, nodes);
    const uint32_t count = nodes / 12 + 1;
    struct block *blocks = work_got(calloc(count, sizeof *blocks));
    compiler->ops++;
    uint32_t next = 0;
    lower(compiler, tree, blocks, count, &next);
    analyse(compiler, blocks, count, nodes);
    for (uint32_t i = 0; i < count; i++) {
        emit(compiler, &blocks[i]);
    }
    free(blocks);
    arena_free(compiler);
}

int main(int argc, char **argv)
{
    static struct compiler compiler;
    compiler.random.state = work_mix(work_seed(argc, argv, 1));
    for (size_t i = 0; i < FUNCTIONS; i++) {
        compile(&compiler);
    }
    for (size_t i = 0; i < NAMES; i++) {
        while (compiler.names[i] != NULL) {
            struct name *name = compiler.names[i];
            compiler.names[i] = name->next;
            compiler.checksum += name->length;
            free(name->text);
            free(name);
        }
    }
    work_report(compiler.ops, compiler.checksum);
    return 0;
}
