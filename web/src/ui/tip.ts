// SPDX-License-Identifier: MIT

import { type Child, el, fill } from './dom';

/** The one tip of the page: a box beside the pointer. */

const GAP = 14;
let box: HTMLElement | null = null;

export function showTip(x: number, y: number, ...children: Child[]): void {
    if (box === null) {
        box = el('div', { class: 'tip', role: 'status' });
        document.body.append(box);
    }
    fill(box, ...children);
    box.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = box;
    const left = x + GAP + width > innerWidth ? x - GAP - width : x + GAP;
    const top = y + GAP + height > innerHeight ? y - GAP - height : y + GAP;
    box.style.left = `${Math.max(left, 4)}px`;
    box.style.top = `${Math.max(top, 4)}px`;
}

export function hideTip(): void {
    if (box !== null) {
        box.hidden = true;
    }
}

/** Names and values, one pair a line. */
export function pairs(entries: readonly (readonly [string, Child])[]): HTMLElement {
    const list = el('dl', { class: 'pairs' });
    for (const [name, value] of entries) {
        list.append(el('dt', {}, name), el('dd', {}, value));
    }
    return list;
}
