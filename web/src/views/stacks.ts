// SPDX-License-Identifier: MIT

import { stackOf } from '../data/flame_tree';
import type { Recording } from '../data/recording';
import { el, fill } from '../ui/dom';

/** The stacks of a call site, the heaviest first. */
export class Stacks {
    readonly root = el('aside', {
        class: 'stacks',
        'aria-label': 'Stacks of the selected call site',
        tabindex: 0,
    });
    private readonly recording: Recording;

    constructor(recording: Recording) {
        this.recording = recording;
        this.clear();
    }

    clear(): void {
        fill(this.root, el('p', { class: 'empty' }, 'Select a row to see its stacks.'));
    }

    show(
        title: string,
        nodes: number[],
        weight: (node: number) => number,
        text: (weight: number) => string,
    ): void {
        const heaviest = [...nodes].sort((a, b) => weight(b) - weight(a));
        const shown = heaviest.slice(0, MOST_STACKS);
        fill(
            this.root,
            el('h2', {}, title),
            el('p', { class: 'note' }, count(heaviest.length, shown.length)),
            ...shown.map((node, i) => this.stack(node, text(weight(node)), i === 0)),
        );
        this.root.scrollTop = 0;
    }

    private stack(node: number, weight: string, isOpen: boolean): HTMLElement {
        const list = el('ol');
        for (const frame of stackOf(this.recording, node)) {
            list.append(
                el(
                    'li',
                    {
                        title:
                            this.recording.placeOf(frame, true) || this.recording.moduleOf(frame),
                    },
                    el('span', { class: 'function' }, this.recording.functionOf(frame)),
                    el('span', { class: 'place' }, this.recording.whereOf(frame)),
                ),
            );
        }
        if (list.childElementCount === 0) {
            list.append(el('li', {}, 'No stack was recorded.'));
        }
        return el('details', { open: isOpen }, el('summary', {}, weight), list);
    }
}

const MOST_STACKS = 20;

function count(all: number, shown: number): string {
    if (all === 1) {
        return 'One stack leads here.';
    }
    return all === shown
        ? `${all} stacks lead here.`
        : `${all} stacks lead here; the heaviest ${shown} are shown.`;
}
