// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Report } from '../data/report';
import { button, el } from '../ui/dom';

/** The selected range in words, and two handles to change it by pointer or by keys. */
export class RangeBar {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly text = el('output', { class: 'range-text', 'aria-live': 'polite' });
    private readonly reset: HTMLButtonElement;
    private readonly track = el('div', { class: 'range-track' });
    private readonly window = el('div', { class: 'range-window' });
    private readonly handles: [HTMLElement, HTMLElement];

    /** `beside` stands at the end of the line that tells the range. */
    constructor(report: Report, beside: HTMLElement) {
        this.report = report;
        this.reset = button('Whole recording', () => report.selection.reset(), {
            class: 'range-reset',
            title: 'Select everything again (Escape)',
        });
        this.handles = [
            this.handle('begin', 'Begin of the range'),
            this.handle('end', 'End of the range'),
        ];
        this.track.append(this.window, ...this.handles);
        this.root = el(
            'div',
            { class: 'range' },
            this.track,
            el('div', { class: 'range-line' }, this.text, this.reset, beside),
        );
        this.window.addEventListener('pointerdown', (event) => this.moveWindow(event));
        document.addEventListener('keydown', (event) => {
            // In a field or a dialog Escape has a meaning already.
            const isTaken = (event.target as Element).closest('input, select, dialog') !== null;
            if (event.key === 'Escape' && !isTaken && !report.selection.isWhole) {
                report.selection.reset();
            }
        });
        this.update();
    }

    update(): void {
        const { selection, recording } = this.report;
        const { begin, end } = selection.range;
        const count = recording.binCount;
        const at = (bin: number): string => format.moment(bin * recording.binNs, recording.binNs);
        this.window.style.left = `${(100 * begin) / count}%`;
        this.window.style.width = `${(100 * (end - begin)) / count}%`;
        [begin, end].forEach((bin, i) => {
            const handle = this.handles[i];
            handle.style.left = `${(100 * bin) / count}%`;
            handle.setAttribute('aria-valuemax', String(count));
            handle.setAttribute('aria-valuenow', String(bin));
            handle.setAttribute('aria-valuetext', at(bin));
        });
        const length = format.duration((end - begin) * recording.binNs);
        this.text.textContent = selection.isWhole
            ? `Whole recording: ${length}. Drag across a chart to select a range; everything below follows.`
            : `Selected: ${at(begin)} – ${at(end)} (${length} of ${format.duration(count * recording.binNs)})`;
        this.reset.hidden = selection.isWhole;
        this.root.dataset['begin'] = String(begin);
        this.root.dataset['end'] = String(end);
    }

    private handle(which: 'begin' | 'end', label: string): HTMLElement {
        const handle = el('div', {
            class: 'range-handle',
            role: 'slider',
            tabindex: 0,
            'aria-label': label,
            'aria-valuemin': 0,
        });
        handle.addEventListener('keydown', (event) => this.onKey(event, which));
        handle.addEventListener('pointerdown', (event) => {
            this.drag(event, (bin, isFinal) => this.move(which, bin, isFinal));
        });
        return handle;
    }

    private move(which: 'begin' | 'end', bin: number, isFinal: boolean): void {
        const { selection, recording } = this.report;
        const { begin, end } = selection.range;
        const at = Math.round(bin);
        if (which === 'begin') {
            selection.select(Math.min(Math.max(at, 0), end - 1), end, isFinal);
        } else {
            selection.select(begin, Math.max(Math.min(at, recording.binCount), begin + 1), isFinal);
        }
    }

    private onKey(event: KeyboardEvent, which: 'begin' | 'end'): void {
        const { selection, recording } = this.report;
        const at = selection.range[which];
        const step = event.shiftKey || event.key.startsWith('Page') ? 10 : 1;
        const targets: Record<string, number> = {
            ArrowLeft: at - step,
            ArrowDown: at - step,
            PageDown: at - step,
            ArrowRight: at + step,
            ArrowUp: at + step,
            PageUp: at + step,
            Home: 0,
            End: recording.binCount,
        };
        const target = targets[event.key];
        if (target !== undefined) {
            event.preventDefault();
            this.move(which, target, true);
        }
    }

    private moveWindow(event: PointerEvent): void {
        const { selection, recording } = this.report;
        const { begin, end } = selection.range;
        const grip = this.binAt(event) - begin;
        this.drag(event, (bin, isFinal) => {
            const first = Math.min(
                Math.max(Math.round(bin - grip), 0),
                recording.binCount - (end - begin),
            );
            selection.select(first, first + end - begin, isFinal);
        });
    }

    private drag(event: PointerEvent, onMove: (bin: number, isFinal: boolean) => void): void {
        const target = event.currentTarget as HTMLElement;
        target.setPointerCapture(event.pointerId);
        const move = (next: PointerEvent): void => onMove(this.binAt(next), false);
        target.addEventListener('pointermove', move);
        target.addEventListener(
            'lostpointercapture',
            () => {
                target.removeEventListener('pointermove', move);
                const { begin, end } = this.report.selection.range;
                this.report.selection.select(begin, end);
            },
            { once: true },
        );
    }

    private binAt(event: PointerEvent): number {
        const { left, width } = this.track.getBoundingClientRect();
        return ((event.clientX - left) / width) * this.report.recording.binCount;
    }
}
