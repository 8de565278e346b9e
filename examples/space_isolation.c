/* SPDX-License-Identifier: MIT */
#include <tarn/space.h>

#include <stdio.h>
#include <string.h>

/*
 * Two programs with the same virtual addresses, in different frames: neither can see, or spoil, what the other one has.
 * Then they agree on one page to talk through, and one of them is forked.
 */

enum { PAGE = 4096, TEXT = 0x400000, DATA = 0x600000, MAILBOX = 0x7f0000 };

static void say(const char *who, tarn_space *space, uint64_t address, unsigned access)
{
    const tarn_translation to = tarn_space_translate(space, address, access);
    if (to.fault != TARN_FAULT_NONE) {
        printf("%-8s 0x%06llx  %s\n", who, (unsigned long long)address, tarn_fault_text(to.fault));
    } else {
        printf("%-8s 0x%06llx  frame %u, offset %u\n", who, (unsigned long long)address, to.frame,
               to.offset);
    }
}

static bool holds(tarn_space *space, uint64_t address, const char *wanted)
{
    char text[64] = "";
    return tarn_space_read(space, address, text, strlen(wanted) + 1, TARN_ACCESS_USER, NULL) ==
               TARN_FAULT_NONE &&
           strcmp(text, wanted) == 0;
}

static bool put(tarn_space *space, uint64_t address, const char *text)
{
    return tarn_space_write(space, address, text, strlen(text) + 1, TARN_ACCESS_USER, NULL) ==
           TARN_FAULT_NONE;
}

static bool load_program(tarn_space *space, tarn_frames *frames, const char *name)
{
    const tarn_map_options code = {.access = TARN_PAGE_USER};
    const tarn_map_options data = {.access = TARN_PAGE_USER | TARN_PAGE_WRITABLE};
    return tarn_space_init(space, &(tarn_space_options){.name = name, .frames = frames}) ==
               TARN_OK &&
           tarn_space_map(space, TEXT, 2 * PAGE, &code) == TARN_OK &&
           tarn_space_map(space, DATA, 4 * PAGE, &data) == TARN_OK;
}

int main(void)
{
    tarn_frames frames;
    static tarn_space editor;
    static tarn_space shell;
    static tarn_space child;
    if (tarn_frames_init(&frames, &(tarn_frames_options){.count = 64}) != TARN_OK ||
        !load_program(&editor, &frames, "editor") || !load_program(&shell, &frames, "shell")) {
        return 1;
    }
    bool is_good =
        put(&editor, DATA + 100, "the editor's") && put(&shell, DATA + 100, "the shell's");
    say("editor", &editor, DATA + 100, TARN_ACCESS_READ);
    say("shell", &shell, DATA + 100, TARN_ACCESS_READ);
    is_good = is_good && holds(&editor, DATA + 100, "the editor's") &&
              holds(&shell, DATA + 100, "the shell's");

    /* Whatever the shell tries, it gets a fault. */
    say("shell", &shell, TEXT, TARN_ACCESS_USER | TARN_ACCESS_WRITE);
    say("shell", &shell, MAILBOX, TARN_ACCESS_USER);
    say("shell", &shell, UINT64_C(1) << 52, TARN_ACCESS_USER);
    is_good = is_good && !put(&shell, TEXT, "virus") && !holds(&shell, MAILBOX, "");

    /* One page that both have. */
    is_good =
        is_good &&
        tarn_space_map(&editor, MAILBOX, PAGE,
                       &(tarn_map_options){.access = TARN_PAGE_USER | TARN_PAGE_WRITABLE}) ==
            TARN_OK &&
        tarn_space_share(&shell, MAILBOX, &editor, MAILBOX, PAGE, TARN_PAGE_USER) == TARN_OK &&
        put(&editor, MAILBOX, "hello") && holds(&shell, MAILBOX, "hello");

    /* A fork has the same contents, and copies a page when one of the two writes to it. */
    is_good = is_good && tarn_space_fork(&editor, &child, NULL) == TARN_OK &&
              put(&child, DATA + 100, "the child's") && holds(&editor, DATA + 100, "the editor's");
    say("child", &child, DATA + 100, TARN_ACCESS_READ);
    printf("%zu pages in 3 spaces, %zu frames\n",
           tarn_space_stats(&editor).pages + tarn_space_stats(&shell).pages +
               tarn_space_stats(&child).pages,
           tarn_frames_stats(&frames).used);
    tarn_space_deinit(&child);
    tarn_space_deinit(&shell);
    tarn_space_deinit(&editor);
    tarn_frames_deinit(&frames);
    return is_good ? 0 : 1;
}
