// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Recording } from '../data/recording';
import { button, el } from '../ui/dom';
import { pairs } from '../ui/tip';

/** What was recorded, by what, and the notices of the libraries inside this page. */

/** Put here by the build: the licences' texts, by library. */
declare const LICENCES: readonly { name: string; version: string; licence: string; text: string }[];

export function aboutButton(recording: Recording | null): HTMLElement {
    const dialog = el('dialog', { class: 'about', 'aria-label': 'About this report' });
    const close = button('Close', () => dialog.close());
    dialog.append(
        el('h2', {}, 'About this report'),
        ...(recording === null ? [] : [facts(recording)]),
        el('h2', {}, 'Libraries in this page'),
        ...LICENCES.map((entry) =>
            el(
                'details',
                {},
                el('summary', {}, `${entry.name} ${entry.version} (${entry.licence})`),
                el('pre', {}, entry.text),
            ),
        ),
        close,
    );
    const open = button('About', () => dialog.showModal(), { class: 'link' });
    return el('span', {}, open, dialog);
}

function facts(recording: Recording): HTMLElement {
    const { program, summary } = recording.head;
    const sampled =
        program.sample_bytes > 1 ? `, one in ${format.bytes(program.sample_bytes)}` : '';
    return pairs([
        ['Command', program.command],
        ['Process', String(program.process)],
        ['Recorded', new Date(program.started_ms).toLocaleString()],
        ['Trace', program.file],
        ['Tarn', program.tarn],
        [
            'Stacks',
            `${program.stacks}${sampled}; ${format.counted(summary.stacks, 'different one')} in ${format.counted(summary.modules, 'module')}`,
        ],
        ['Blocks known by', program.blocks],
        [
            'Events',
            `${format.count(summary.events)}: ${format.counted(summary.allocations, 'allocation')}, ${format.counted(summary.frees, 'free')}, ${format.counted(summary.reallocs, 'realloc')}, ${format.count(summary.failed)} failed`,
        ],
        ...((summary.unknown_frees ?? 0) > 0
            ? [['Frees of blocks from before', format.count(summary.unknown_frees ?? 0)] as const]
            : []),
        [
            'Temporary',
            `${format.counted(summary.temporary, 'block')}, ${format.bytes(summary.temporary_bytes)}`,
        ],
        ['Threads', format.count(summary.threads)],
    ]);
}
