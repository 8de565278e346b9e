// SPDX-License-Identifier: MIT

import { classSums } from '../data/figures';
import * as format from '../data/format';
import type { Classes } from '../data/recording';
import type { Report } from '../data/report';
import { el, fill, segments } from '../ui/dom';
import type { View } from '../ui/tabs';

/** How large the blocks are that the range asks for, and how long they live. */

type Measure = 'counts' | 'bytes';

export class Histograms implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly sizes = el('div', { class: 'histogram', 'data-histogram': 'size' });
    private readonly lifetimes = el('div', { class: 'histogram', 'data-histogram': 'lifetime' });
    private measure: Measure = 'counts';

    constructor(report: Report) {
        this.report = report;
        const measures = segments<Measure>(
            'Measure',
            [
                ['counts', 'Blocks'],
                ['bytes', 'Bytes'],
            ],
            this.measure,
            (measure) => {
                this.measure = measure;
                this.update();
            },
        );
        this.root = el(
            'div',
            {},
            el(
                'div',
                { class: 'toolbar' },
                measures,
                el('span', { class: 'note' }, 'of the blocks that were allocated in the range'),
            ),
            el('div', { class: 'columns' }, this.sizes, this.lifetimes),
        );
    }

    update(): void {
        const { sizes, lifetimes } = this.report.recording;
        this.show(this.sizes, 'Size asked for', sizes, (begin, end) =>
            format.sizeClass(begin, end),
        );
        this.show(this.lifetimes, 'Lifetime', lifetimes, format.lifetimeClass);
    }

    private show(
        parent: HTMLElement,
        title: string,
        classes: Classes | null,
        label: (begin: number, end: number | null, isLast: boolean) => string,
    ): void {
        if (classes === null) {
            fill(parent, el('h2', {}, title), el('p', { class: 'empty' }, 'Not recorded.'));
            return;
        }
        const { bounds } = classes;
        const values = classSums(classes[this.measure], bounds.length, this.report.selection.range);
        const total = values.reduce((a, b) => a + b, 0);
        const most = Math.max(...values, 1);
        const body = el('tbody');
        values.forEach((value, i) => {
            if (value > 0) {
                const begin = i === 0 ? 0 : (bounds[i - 1] ?? 0);
                body.append(
                    this.line(label(begin, bounds[i], i === bounds.length - 1), value, most, total),
                );
            }
        });
        const empty =
            total === 0
                ? el('p', { class: 'empty' }, 'Nothing was allocated in this range.')
                : null;
        fill(parent, el('h2', {}, title), el('table', { 'aria-label': title }, body), empty);
    }

    private line(name: string, value: number, most: number, total: number): HTMLElement {
        const text = this.measure === 'counts' ? format.count(value) : format.bytes(value);
        const bar = el('div', {
            class: 'bar',
            style: `width: ${((100 * value) / most).toFixed(2)}%`,
        });
        return el(
            'tr',
            { 'data-value': value },
            el('th', { scope: 'row' }, name),
            el('td', { class: 'bar-cell' }, bar),
            el('td', { class: 'number' }, text),
            el('td', { class: 'number muted' }, format.percent(value / total)),
        );
    }
}
