// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Replay, ReplayRun } from '../data/head';
import { type Child, el } from '../ui/dom';
import { type Column, Table } from '../ui/table';
import type { View } from '../ui/tabs';
import { pairs } from '../ui/tip';
import { rankOf, replayBars } from './replay_bars';

/** The same operations on every strategy: what each costs, beside what none can do better than. */
export class Replays implements View {
    readonly root: HTMLElement;
    private readonly replay: Replay;
    private readonly table: Table<ReplayRun>;
    private readonly peak: number;

    constructor(replay: Replay) {
        this.replay = replay;
        this.peak = replay.theory?.peak_live ?? 0;
        this.table = new Table<ReplayRun>({
            label: 'Replays',
            sort: 'rank',
            isRising: true,
            emptyText: 'Nothing was replayed.',
            columns: this.columns(),
        });
        const events = `${format.counted(replay.events, 'operation')}, ${format.count(replay.allocations)} of them ${replay.allocations === 1 ? 'an allocation' : 'allocations'}, by ${format.counted(replay.threads, 'thread')}`;
        this.root = el(
            'div',
            {},
            el(
                'p',
                { class: 'note' },
                `The whole recording, replayed: ${events}. The selected range does not change it.`,
            ),
            el(
                'div',
                { class: 'replay-top' },
                replayBars(replay),
                el('div', {}, this.theory(), this.movable()),
            ),
            this.table.root,
        );
    }

    update(): void {
        this.table.set([...this.replay.runs]);
    }

    private columns(): Column<ReplayRun>[] {
        const fastest = Math.max(...this.replay.runs.map((run) => run.events_per_second ?? 0), 1);
        const largest = Math.max(...this.replay.runs.map((run) => run.peak_footprint ?? 0), 1);
        return [
            {
                key: 'rank',
                title: '#',
                isNumber: true,
                value: rankOf,
                show: (run) => String(run.rank ?? '–'),
            },
            {
                key: 'name',
                title: 'Strategy',
                isNumber: false,
                value: (run) => run.name,
                show: (run) =>
                    el(
                        'div',
                        { class: 'site' },
                        el('span', { class: 'function' }, run.name),
                        el('span', { class: 'place' }, `${run.kind}, ${run.order}`),
                    ),
                exact: (run) => run.about,
            },
            figure('events', 'Events/s', (run) => run.events_per_second, format.shortCount, {
                bar: (run) => (run.events_per_second ?? 0) / fastest,
            }),
            figure('mean', 'Mean', (run) => run.ns?.mean, format.duration, {
                hint: 'Time of one operation',
            }),
            figure('p99', '99 %', (run) => run.ns?.p99, format.duration, {
                hint: '99 of 100 operations took no longer',
            }),
            figure('p99_9', '99.9 %', (run) => run.ns?.p99_9, format.duration, {
                hint: '999 of 1000 operations took no longer',
            }),
            figure('footprint', 'Peak footprint', (run) => run.peak_footprint, format.bytes, {
                bar: (run) => (run.peak_footprint ?? 0) / largest,
            }),
            figure(
                'times',
                '× live',
                (run) =>
                    this.peak > 0 && (run.peak_footprint ?? null) !== null
                        ? (run.peak_footprint ?? 0) / this.peak
                        : null,
                (value) => value.toFixed(2),
                {
                    hint: 'Peak footprint over the peak of live bytes',
                },
            ),
            figure('resident', 'Peak resident', (run) => run.peak_resident, format.bytes, {}),
            figure(
                'external',
                'External',
                (run) => run.fragmentation?.external_peak,
                format.percent,
                { hint: 'External fragmentation at the peak' },
            ),
            figure(
                'internal',
                'Internal',
                (run) => run.fragmentation?.internal_peak,
                format.percent,
                { hint: 'Internal fragmentation at the peak' },
            ),
            figure(
                'end',
                'External, end',
                (run) => run.fragmentation?.external_end,
                format.percent,
                { hint: 'External fragmentation at the end' },
            ),
            figure('failures', 'Failures', (run) => run.failures, format.count, {
                hint: 'Requests that got no memory',
            }),
            {
                key: 'status',
                title: 'Status',
                isNumber: false,
                value: (run) => run.status,
                show: (run) =>
                    el('span', { class: run.status === 'ok' ? 'ok' : 'bad' }, run.status),
                exact: (run) => run.error ?? '',
            },
        ];
    }

    private theory(): HTMLElement | null {
        const { theory } = this.replay;
        if (theory === null || theory === undefined) {
            return null;
        }
        const entries: [string, Child][] = [
            ['Peak of live bytes', `${format.bytes(theory.peak_live)}: no allocator needs less`],
        ];
        const plan = theory.static_plan;
        if (plan !== null) {
            const bound = plan.is_optimal
                ? 'the least possible'
                : `no plan is below ${format.bytes(plan.lower_bound)}`;
            entries.push([
                'Best static plan',
                `${format.bytes(plan.height)} for ${format.counted(plan.buffers, 'buffer')}: ${bound} (${plan.method})`,
            ]);
        }
        if (theory.robson !== null) {
            entries.push([
                'Robson’s bound',
                `${format.bytes(theory.robson.bytes)}, blocks of up to ${format.bytes(theory.robson.largest)}: ${theory.robson.text}`,
            ]);
        }
        return el(
            'div',
            { class: 'facts-box', 'data-box': 'theory' },
            el('h2', {}, 'Theory'),
            pairs(entries),
        );
    }

    private movable(): HTMLElement | null {
        const { movable } = this.replay;
        if (movable === null || movable === undefined) {
            return null;
        }
        return el(
            'div',
            { class: 'facts-box', 'data-box': 'movable' },
            el('h2', {}, 'What if blocks could move?'),
            pairs([
                ...beside('Peak footprint', movable.peak_footprint, movable.without),
                [
                    'Saved',
                    movable.without > 0
                        ? `${format.bytes(movable.saved)} (${format.percent(movable.saved / movable.without)})`
                        : format.bytes(movable.saved),
                ],
                ...beside('Footprint on average', movable.mean_footprint, movable.mean_without),
                ...beside('Footprint at the end', movable.end_footprint, movable.end_without),
                [
                    'Moved',
                    `${format.bytes(movable.bytes_moved)} in ${format.counted(movable.blocks_moved, 'block')}, ${format.counted(movable.passes, 'pass', 'passes')}`,
                ],
                ['Longest pass', format.duration(movable.longest_us * 1000)],
            ]),
        );
    }
}

function figure(
    key: string,
    title: string,
    value: (run: ReplayRun) => number | null | undefined,
    text: (value: number) => string,
    more: { hint?: string; bar?: (run: ReplayRun) => number },
): Column<ReplayRun> {
    return {
        key,
        title,
        isNumber: true,
        value: (run) => value(run) ?? -1,
        show: (run) => {
            const figure = value(run);
            return figure === null || figure === undefined ? '–' : text(figure);
        },
        ...more,
    };
}

/** A figure with compaction and, where it is known, without. */
function beside(name: string, compacted: number | undefined, without?: number): [string, Child][] {
    if (compacted === undefined) {
        return [];
    }
    const rest = without === undefined ? '' : ` instead of ${format.bytes(without)}`;
    return [[name, format.bytes(compacted) + rest]];
}
