// SPDX-License-Identifier: MIT

import * as format from './data/format';
import type { Recording } from './data/recording';
import { Report } from './data/report';
import { button, el, fill, oncePerFrame } from './ui/dom';
import { isDark, onTheme, toggleTheme } from './ui/theme';
import { type Tab, Tabs } from './ui/tabs';
import { aboutButton } from './views/about';
import { CallSites } from './views/call_sites';
import { Cards } from './views/cards';
import { FlameGraph } from './views/flame_graph';
import { Fragmentation } from './views/fragmentation';
import { HeapMap } from './views/heap_map';
import { Histograms } from './views/histograms';
import { Pools } from './views/pools';
import { RangeBar } from './views/range_bar';
import { Replays } from './views/replays';
import { Threads } from './views/threads';
import { Timeline } from './views/timeline';

/** The page: the time line and the figures of the range on top, the views of it below. */
export class Page {
    private readonly root: HTMLElement;
    private readonly report: Report;
    private readonly cards: Cards;
    private readonly timeline: Timeline;
    private readonly range: RangeBar;
    private readonly tabs: Tabs;

    constructor(root: HTMLElement, recording: Recording) {
        this.root = root;
        this.report = new Report(recording);
        this.cards = new Cards(this.report);
        this.timeline = new Timeline(this.report);
        this.range = new RangeBar(this.report, this.timeline.readout);
        this.tabs = new Tabs(tabsOf(this.report));
    }

    start(): void {
        const { recording } = this.report;
        document.title = `${recording.head.program.command} – Tarn report`;
        fill(
            this.root,
            header(recording),
            this.cards.root,
            el('div', { class: 'time' }, this.timeline.root, this.range.root),
            el('main', {}, this.tabs.root),
            footer(recording),
        );
        this.timeline.start();
        this.cards.update();
        this.tabs.show(0);
        const follow = oncePerFrame(() => this.follow());
        this.report.selection.subscribe((_, isFinal) => {
            this.range.update();
            this.timeline.update();
            if (isFinal) {
                this.cards.update();
                this.tabs.invalidate();
            } else {
                follow();
            }
        });
    }

    /** While a range is dragged, the figures follow; the views wait for its end. */
    private follow(): void {
        this.cards.update();
    }
}

function tabsOf(report: Report): Tab[] {
    const { recording } = report;
    const { map, head } = recording;
    const tabs: (Tab | null)[] = [
        map === null ? null : { id: 'map', title: 'Heap map', view: new HeapMap(report, map) },
        { id: 'flame', title: 'Flame graph', view: new FlameGraph(report) },
        { id: 'sites', title: 'Call sites', view: new CallSites(report) },
        { id: 'histograms', title: 'Sizes and lifetimes', view: new Histograms(report) },
        recording.pins === null
            ? null
            : { id: 'pins', title: 'Fragmentation', view: new Fragmentation(report) },
        recording.threads === null
            ? null
            : { id: 'threads', title: 'Threads', view: new Threads(report) },
        head.pools.length === 0 ? null : { id: 'pools', title: 'Pools', view: new Pools(report) },
        recording.replay === null
            ? null
            : { id: 'replay', title: 'Replay', view: new Replays(recording.replay) },
    ];
    return tabs.filter((tab): tab is Tab => tab !== null);
}

function header(recording: Recording): HTMLElement {
    const { program } = recording.head;
    const started = new Date(program.started_ms);
    const theme = button('', toggleTheme, { class: 'theme' });
    const name = (): void => {
        theme.textContent = isDark() ? '☀ Light' : '☾ Dark';
        theme.setAttribute('aria-label', isDark() ? 'Use light colours' : 'Use dark colours');
    };
    onTheme(name);
    name();
    return el(
        'header',
        {},
        el(
            'h1',
            {},
            el('span', { class: 'brand' }, 'Tarn'),
            el('code', { title: program.command }, program.command),
        ),
        el(
            'span',
            { class: 'note' },
            `process ${program.process} · ${Number.isNaN(started.getTime()) ? '' : started.toLocaleString()}`,
        ),
        theme,
        ...warnings(recording),
    );
}

/** What the reader has to know before believing the figures. */
function warnings(recording: Recording): HTMLElement[] {
    const { program, summary } = recording.head;
    const texts: string[] = [];
    if (summary.events === 0) {
        texts.push('Nothing was recorded: the trace has no events.');
    }
    if (program.is_cut) {
        texts.push(
            'The trace was cut short: the program, or its recording, ended before the trace did.',
        );
    }
    if (program.lost > 0) {
        texts.push(
            `${format.counted(program.lost, 'event')} ${program.lost === 1 ? 'was' : 'were'} lost while recording; figures are too low by that much.`,
        );
    }
    if (recording.isSampled) {
        texts.push('Stacks were sampled: figures by call site (≈) are estimates.');
    } else if (program.stacks === 'none') {
        texts.push('Recorded without stacks: call sites are not known.');
    }
    if (recording.replayFault !== '') {
        texts.push(
            `The replay is left out: ${recording.replayFault}. Write it anew with \`tarn replay --json\`, and the report with it.`,
        );
    }
    return texts.map((text) => el('p', { class: 'warning' }, text));
}

function footer(recording: Recording): HTMLElement {
    return el(
        'footer',
        {},
        `Written by Tarn ${recording.head.program.tarn}. Works offline: nothing leaves this page.`,
        aboutButton(recording),
    );
}
