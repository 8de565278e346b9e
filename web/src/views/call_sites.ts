// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { NodeFigures } from '../data/figures';
import type { Report } from '../data/report';
import { type Grouping, type Site, sitesOf } from '../data/sites';
import { chooser, el } from '../ui/dom';
import { type Column, Table } from '../ui/table';
import type { View } from '../ui/tabs';
import { Stacks } from './stacks';

/** Where in the program the memory is asked for. */

type Figure = keyof Pick<Site, 'bytes' | 'allocs' | 'temporary' | 'live' | 'liveBlocks' | 'peak'>;

export class CallSites implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly stacks: Stacks;
    private readonly table: Table<Site>;
    private readonly most: Record<Figure, number> = {
        bytes: 1,
        allocs: 1,
        temporary: 1,
        live: 1,
        liveBlocks: 1,
        peak: 1,
    };
    private grouping: Grouping = 'site';
    private term = '';

    constructor(report: Report) {
        this.report = report;
        this.stacks = new Stacks(report.recording);
        this.table = new Table<Site>({
            label: 'Call sites',
            columns: this.columns(),
            sort: 'bytes',
            onSelect: (site) => this.showStacks(site),
            emptyText: 'No call site matches.',
        });
        this.root = el(
            'div',
            {},
            this.toolbar(),
            el('div', { class: 'split' }, this.table.root, this.stacks.root),
        );
    }

    update(): void {
        const all = sitesOf(this.report.recording, this.report.figures, this.grouping);
        for (const figure of Object.keys(this.most) as Figure[]) {
            this.most[figure] = all.reduce((most, site) => Math.max(most, site[figure]), 1);
        }
        this.table.set(all.filter((site) => this.isMatch(site)));
        const first = this.table.first();
        if (first === undefined) {
            this.stacks.clear();
        } else {
            this.table.select(first);
        }
    }

    private toolbar(): HTMLElement {
        const search = el('input', {
            type: 'search',
            placeholder: 'Filter by function, file or module',
            'aria-label': 'Filter the call sites',
        });
        search.addEventListener('input', () => {
            this.term = search.value.trim().toLowerCase();
            this.update();
        });
        const grouping = chooser<Grouping>(
            'Group by',
            [
                ['site', 'call site'],
                ['function', 'function'],
                ['module', 'module'],
            ],
            (value) => {
                this.grouping = value;
                this.update();
            },
        );
        const note = this.report.recording.isSampled
            ? el(
                  'span',
                  { class: 'note' },
                  '≈: estimates; each block with a stack stands for others of its size.',
              )
            : null;
        return el('div', { class: 'toolbar' }, grouping, search, note);
    }

    private isMatch(site: Site): boolean {
        return (
            this.term === '' ||
            `${site.label} ${site.place} ${site.module}`.toLowerCase().includes(this.term)
        );
    }

    private columns(): Column<Site>[] {
        return [
            {
                key: 'label',
                title: 'Call site',
                isNumber: false,
                value: (site) => site.label,
                show: (site) => this.name(site),
                exact: (site) =>
                    `${site.label}\n${this.report.recording.placeOf(site.frame, true)}`,
            },
            this.bytes('bytes', 'Bytes', 'Bytes asked for in the range'),
            this.count('allocs', 'Count', 'Allocations in the range'),
            this.count('temporary', 'Temporary', 'Freed before the thread allocated again'),
            this.bytes('peak', 'At peak', 'Live bytes at the peak of the range'),
            this.bytes('live', 'Live at end', 'Bytes not freed by the end of the range'),
            this.count('liveBlocks', 'Blocks', 'Blocks not freed by the end of the range'),
        ];
    }

    private name(site: Site): HTMLElement {
        return el(
            'div',
            { class: 'site' },
            el('span', { class: 'function' }, site.label),
            el('span', { class: 'place' }, site.place),
        );
    }

    private bytes(key: Figure, title: string, hint: string): Column<Site> {
        return {
            ...this.figure(key, title, hint),
            show: (site) => this.mark(format.bytes(site[key])),
            exact: (site) => this.mark(format.exactBytes(site[key])),
        };
    }

    private count(key: Figure, title: string, hint: string): Column<Site> {
        return {
            ...this.figure(key, title, hint),
            show: (site) => this.mark(format.count(site[key])),
        };
    }

    private mark(text: string): string {
        return format.estimate(text, this.report.recording.isSampled);
    }

    private figure(key: Figure, title: string, hint: string): Column<Site> {
        return {
            key,
            title,
            hint,
            isNumber: true,
            value: (site) => site[key],
            show: (site) => String(site[key]),
            bar: (site) => site[key] / this.most[key],
        };
    }

    private showStacks(site: Site): void {
        const { nodes }: { nodes: NodeFigures } = this.report.figures;
        // Of a site that allocated nothing in the range, what it holds is what is left to tell of.
        const [values, what] = site.bytes > 0 ? [nodes.bytes, 'asked for'] : [nodes.live, 'live'];
        this.stacks.show(
            site.label,
            site.nodes,
            (node) => values[node],
            (weight) => this.mark(`${format.bytes(weight)} ${what}`),
        );
    }
}
