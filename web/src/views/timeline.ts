// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { ReplayRun } from '../data/head';
import type { Report } from '../data/report';
import { el } from '../ui/dom';
import { type Line, TimeChart } from '../ui/time_chart';

/** Live bytes and footprint over time, and below them the rate of allocations. */

/** Colours of the style sheet for the replays' footprints. */
const REPLAY_COLOURS = ['replay-1', 'replay-2', 'replay-3', 'replay-4', 'replay-5', 'replay-6'];

/** Points of the rate's curve, at most. */
const MOST_RATES = 1024;

export class Timeline {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly times: Float64Array;
    /** What the curves say under the pointer. */
    readonly readout = el('span', { class: 'readout' });
    private charts: TimeChart[] = [];

    constructor(report: Report) {
        this.report = report;
        this.root = el('section', { class: 'timeline', 'aria-label': 'Memory over time' });
        const { count, widthNs } = report.recording.curve;
        this.times = Float64Array.from({ length: count }, (_, i) => ((i + 0.5) * widthNs) / 1e9);
    }

    /** Makes the charts. The root has to be in the page by now: they take its width. */
    start(): void {
        const lines = this.memoryLines();
        const memory = el('div', { class: 'chart' });
        const rate = el('div', { class: 'chart' });
        const legend = this.legend(lines);
        this.root.append(
            legend,
            memory,
            el('div', { class: 'chart-title' }, 'Allocations per second'),
            rate,
        );
        this.charts = [this.memoryChart(memory, lines), this.rateChart(rate)];
    }

    update(): void {
        for (const chart of this.charts) {
            chart.showRange();
        }
    }

    private memoryLines(): Line[] {
        const { curve, replay } = this.report.recording;
        const lines: Line[] = [
            { label: 'least', colour: 'live', values: curve.liveMin, isShown: true, isEdge: true },
            {
                label: 'most',
                colour: 'live',
                values: curve.liveMax,
                isShown: true,
                isEdge: true,
                bandDownTo: 0,
            },
            {
                label: 'Live bytes',
                colour: 'live',
                values: curve.live,
                isShown: true,
                isFilled: true,
            },
        ];
        if (curve.footprint !== null) {
            lines.push({
                label: 'Footprint',
                colour: 'footprint',
                values: curve.footprint,
                isShown: true,
            });
        }
        for (const run of replay?.runs ?? []) {
            const held = heldBy(run);
            if (held !== null) {
                const i = lines.filter((line) => line.isReplay === true).length;
                lines.push({
                    label: held.isResident ? `${run.name} (resident)` : run.name,
                    colour: REPLAY_COLOURS[i % REPLAY_COLOURS.length],
                    values: this.resampled(held.times, held.values),
                    isShown: false,
                    isReplay: true,
                    isDashed: i >= REPLAY_COLOURS.length,
                });
            }
        }
        return lines;
    }

    /** A replay's curve at the times of ours: what it was at the last point before. */
    private resampled(times: number[], values: (number | null)[]): Float64Array {
        const resampled = new Float64Array(this.times.length);
        let at = 0;
        for (let i = 0; i < resampled.length; i++) {
            while (at + 1 < times.length && times[at + 1] <= this.times[i] * 1e9) {
                at++;
            }
            resampled[i] = values[at] ?? 0;
        }
        return resampled;
    }

    private legend(lines: Line[]): HTMLElement {
        const legend = el('div', { class: 'legend' }, el('h2', {}, 'Memory over time'));
        const replays = el('span', { class: 'legend-group' });
        lines.forEach((line, i) => {
            if (line.isEdge === true) {
                return;
            }
            const box = el('input', { type: 'checkbox', checked: line.isShown });
            box.addEventListener('change', () => this.charts[0].setShown(i, box.checked));
            const swatch = el('span', {
                class: 'swatch',
                style: `background: var(--${line.colour})`,
            });
            (line.isReplay === true ? replays : legend).append(
                el('label', {}, box, swatch, line.label),
            );
        });
        const count = replays.childElementCount;
        if (count > 0) {
            const summary = el(
                'summary',
                {},
                `Footprint replayed on ${format.counted(count, 'allocator')}`,
            );
            const isShort = count <= REPLAY_COLOURS.length;
            legend.append(el('details', { open: isShort }, summary, replays));
        }
        return legend;
    }

    private memoryChart(parent: HTMLElement, lines: Line[]): TimeChart {
        return new TimeChart(parent, this.report, {
            height: 136,
            label: 'Live bytes and footprint over time',
            times: this.times,
            lines,
            hasTimes: false,
            value: format.bytes,
            onHover: (index) => this.showAt(index),
        });
    }

    /** Rates of single steps are noise where there are many: neighbours are taken together. */
    private rateChart(parent: HTMLElement): TimeChart {
        const { curve } = this.report.recording;
        const together = Math.ceil(curve.count / MOST_RATES);
        const seconds = (together * curve.widthNs) / 1e9;
        const rates = new Float64Array(Math.ceil(curve.count / together));
        curve.allocs.forEach((n, step) => {
            rates[Math.floor(step / together)] += n / seconds;
        });
        return new TimeChart(parent, this.report, {
            height: 74,
            label: 'Allocations per second over time',
            times: Float64Array.from(rates, (_, i) => (i + 0.5) * seconds),
            lines: [
                {
                    label: 'Allocations',
                    colour: 'rate',
                    values: rates,
                    isShown: true,
                    isFilled: true,
                },
            ],
            hasTimes: true,
            value: format.shortCount,
            onHover: () => undefined,
        });
    }

    private showAt(index: number | null): void {
        const { curve } = this.report.recording;
        if (index === null) {
            this.readout.textContent = '';
            return;
        }
        const at = format.moment((index + 0.5) * curve.widthNs, curve.widthNs);
        const footprint =
            curve.footprint === null ? '' : ` · footprint ${format.bytes(curve.footprint[index])}`;
        const rate = format.shortCount(curve.allocs[index] / (curve.widthNs / 1e9));
        this.readout.textContent = `${at} · live ${format.bytes(curve.live[index])} in ${format.counted(curve.blocks[index], 'block')}${footprint} · ${rate} allocations/s`;
    }
}

interface Held {
    times: number[];
    values: (number | null)[];
    isResident: boolean;
}

/** What a replay held over time; of allocators that do not tell their footprint, what was resident. */
function heldBy(run: ReplayRun): Held | null {
    const { time_ns: times, footprint, resident } = run.curve ?? {};
    if (times === undefined || times.length === 0) {
        return null;
    }
    const isKnown = (values?: (number | null)[]): values is (number | null)[] =>
        values !== undefined && values.some((value) => (value ?? 0) > 0);
    if (isKnown(footprint)) {
        return { times, values: footprint, isResident: false };
    }
    return isKnown(resident) ? { times, values: resident, isResident: true } : null;
}
