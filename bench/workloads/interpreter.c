/* SPDX-License-Identifier: MIT */

/*
 * A mix like an interpreter's: reference-counted values on the heap, frames and local dictionaries
 * that live as long as a call, strings that are joined and dropped, a dictionary of globals that
 * grows by rehashing, lists that grow by realloc, and rings of objects that only a collector
 * frees.
 */

#include "work.h"

enum { CALLS = 300000, STATEMENTS = 24, GLOBALS = 12000, DEPTH = 12, COLLECT_EVERY = 700 };

enum kind { NUMBER, STRING, LIST, OBJECT };

struct value {
    uint32_t references;
    uint32_t kind;
    uint64_t number; /* a string's length, a list's count, too */
};

struct string {
    struct value head;
    char text[];
};

struct list {
    struct value head;
    struct value **items;
    size_t capacity;
};

/* An object points to the next one of its ring, and joins the list of all of them, which the
 * collector walks. */
struct object {
    struct value head;
    struct object *peer;
    struct object *next;
    struct value *attribute;
};

/* Open addressing, a power of two of slots, at most two thirds of them in use. */
struct dictionary {
    uint64_t *keys; /* 0: empty */
    struct value **values;
    size_t slots;
    size_t used;
};

struct machine {
    work_random random;
    uint64_t checksum;
    uint64_t ops;
    struct dictionary globals;
    struct object *objects;
    size_t objects_since_collection;
};

static void *take(struct machine *machine, size_t size)
{
    machine->ops++;
    return work_got(malloc(size));
}

static struct value *retain(struct value *value)
{
    value->references++;
    return value;
}

static void release(struct machine *machine, struct value *value)
{
    if (value == NULL || --value->references > 0) {
        return;
    }
    machine->checksum = machine->checksum * 31 + value->number;
    if (value->kind == LIST) {
        struct list *list = (struct list *)value;
        for (size_t i = 0; i < value->number; i++) {
            release(machine, list->items[i]);
        }
        free(list->items);
    }
    free(value);
}

static struct value *make_number(struct machine *machine, uint64_t number)
{
    struct value *value = take(machine, sizeof *value);
    *value = (struct value){1, NUMBER, number};
    return value;
}

static struct value *make_string(struct machine *machine, size_t length, char letter)
{
    struct string *string = take(machine, sizeof *string + length + 1);
    string->head = (struct value){1, STRING, length};
    memset(string->text, letter, length);
    string->text[length] = '\0';
    return &string->head;
}

static struct value *join(struct machine *machine, const struct value *left,
                          const struct value *right)
{
    const size_t length = left->number + right->number;
    struct string *joined = take(machine, sizeof *joined + length + 1);
    joined->head = (struct value){1, STRING, length};
    memcpy(joined->text, ((const struct string *)left)->text, left->number);
    memcpy(joined->text + left->number, ((const struct string *)right)->text, right->number + 1);
    return &joined->head;
}

static struct value *make_list(struct machine *machine)
{
    struct list *list = take(machine, sizeof *list);
    *list = (struct list){.head = {1, LIST, 0}};
    return &list->head;
}

static void append(struct machine *machine, struct value *value, struct value *item)
{
    struct list *list = (struct list *)value;
    if (value->number == list->capacity) {
        list->capacity += list->capacity / 8 + 4;
        list->items = work_got(realloc(list->items, list->capacity * sizeof(struct value *)));
        machine->ops++;
    }
    list->items[value->number++] = item;
}

static size_t find(const struct dictionary *dictionary, uint64_t key)
{
    size_t slot = work_mix(key) & (dictionary->slots - 1);
    while (dictionary->keys[slot] != 0 && dictionary->keys[slot] != key) {
        slot = (slot + 1) & (dictionary->slots - 1);
    }
    return slot;
}

static void open_dictionary(struct machine *machine, struct dictionary *dictionary, size_t slots)
{
    *dictionary = (struct dictionary){.slots = slots};
    dictionary->keys = work_got(calloc(slots, sizeof(uint64_t)));
    dictionary->values = work_got(malloc(slots * sizeof(struct value *)));
    machine->ops += 2;
}

/* Puts `value`, whose reference it takes, under `key`. */
static void set(struct machine *machine, struct dictionary *dictionary, uint64_t key,
                struct value *value)
{
    if ((dictionary->used + 1) * 3 > dictionary->slots * 2) {
        struct dictionary larger;
        open_dictionary(machine, &larger, dictionary->slots * 2);
        for (size_t i = 0; i < dictionary->slots; i++) {
            if (dictionary->keys[i] != 0) {
                const size_t slot = find(&larger, dictionary->keys[i]);
                larger.keys[slot] = dictionary->keys[i];
                larger.values[slot] = dictionary->values[i];
            }
        }
        larger.used = dictionary->used;
        free(dictionary->keys);
        free(dictionary->values);
        *dictionary = larger;
    }
    const size_t slot = find(dictionary, key);
    if (dictionary->keys[slot] == key) {
        release(machine, dictionary->values[slot]);
    } else {
        dictionary->keys[slot] = key;
        dictionary->used++;
    }
    dictionary->values[slot] = value;
}

static void close_dictionary(struct machine *machine, struct dictionary *dictionary)
{
    for (size_t i = 0; i < dictionary->slots; i++) {
        if (dictionary->keys[i] != 0) {
            release(machine, dictionary->values[i]);
        }
    }
    free(dictionary->keys);
    free(dictionary->values);
}

/* Frees every ring of objects at once, as a collector that finds them all unreachable. */
static void collect(struct machine *machine)
{
    while (machine->objects != NULL) {
        struct object *object = machine->objects;
        machine->objects = object->next;
        release(machine, object->attribute);
        machine->checksum += object->peer != NULL;
        free(object);
    }
    machine->objects_since_collection = 0;
}

static struct object *make_object(struct machine *machine, struct value *attribute)
{
    struct object *object = take(machine, sizeof *object);
    *object = (struct object){
        .head = {1, OBJECT, 0}, .next = machine->objects, .attribute = retain(attribute)};
    machine->objects = object;
    machine->objects_since_collection++;
    return object;
}

static void make_ring(struct machine *machine, struct value *attribute)
{
    struct object *one = make_object(machine, attribute);
    struct object *other = make_object(machine, attribute);
    one->peer = other;
    other->peer = one;
    if (machine->objects_since_collection >= COLLECT_EVERY) {
        collect(machine);
    }
}

/* One statement of the program: works on the string and the list that the frame holds, and may set
 * a global. */
static void execute(struct machine *machine, struct value **text, struct value *list,
                    struct dictionary *locals)
{
    const uint64_t draw = work_next(&machine->random);
    const uint32_t number = (uint32_t)(draw >> 8) & 0xffff;
    switch (draw & 7) {
    case 0:
    case 1: { /* arithmetic: two temporaries, one result that replaces a local */
        struct value *left = make_number(machine, number);
        struct value *right = make_number(machine, number >> 3);
        set(machine, locals, 1 + (number & 7), make_number(machine, left->number + right->number));
        release(machine, left);
        release(machine, right);
        break;
    }
    case 2:
    case 3: { /* text: join, and start anew when it has grown long */
        struct value *piece = make_string(machine, 4 + (number & 31), (char)('a' + (number & 15)));
        struct value *joined = (*text)->number < 400 ? join(machine, *text, piece) : retain(piece);
        release(machine, piece);
        release(machine, *text);
        *text = joined;
        break;
    }
    case 4: /* a list of what is at hand */
        append(machine, list, retain(*text));
        append(machine, list, make_number(machine, number));
        break;
    case 5:
        make_ring(machine, *text);
        break;
    default: /* a global, as long-lived as the next that takes its name */
        set(machine, &machine->globals, 1 + number % GLOBALS,
            (draw & 8) != 0 ? make_string(machine, 8 + (number & 127), 'g') : retain(*text));
    }
}

static void call(struct machine *machine, unsigned depth)
{
    const size_t frame_size = 200 + work_below(&machine->random, 400);
    void *frame = take(machine, frame_size);
    work_write(frame, frame_size, depth);
    struct dictionary locals;
    open_dictionary(machine, &locals, 16);
    struct value *text = make_string(machine, 8, 's');
    struct value *list = make_list(machine);
    for (size_t i = 0; i < STATEMENTS; i++) {
        execute(machine, &text, list, &locals);
    }
    if (depth > 0) {
        call(machine, depth - 1);
    }
    release(machine, list);
    release(machine, text);
    close_dictionary(machine, &locals);
    machine->checksum += work_read(frame, frame_size);
    free(frame);
}

int main(int argc, char **argv)
{
    struct machine machine = {.random.state = work_mix(work_seed(argc, argv, 1))};
    open_dictionary(&machine, &machine.globals, 16);
    for (size_t calls = 0; calls < CALLS;) {
        const unsigned depth = work_below(&machine.random, DEPTH);
        call(&machine, depth);
        calls += depth + 1;
    }
    collect(&machine);
    close_dictionary(&machine, &machine.globals);
    work_report(machine.ops, machine.checksum);
    return 0;
}
