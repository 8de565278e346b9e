// SPDX-License-Identifier: MIT

import flamegraph, { type FlameChart, type FlameDatum, type FlameTip } from 'd3-flame-graph';
import { select } from 'd3-selection';

import { type FlameNode, NARROW, type Path, ROOT, flameTree } from '../data/flame_tree';
import * as format from '../data/format';
import type { NodeFigures } from '../data/figures';
import type { Report } from '../data/report';
import { button, el, segments } from '../ui/dom';
import { hueOf } from '../ui/palette';
import { isDark, onTheme } from '../ui/theme';
import type { View } from '../ui/tabs';
import { hideTip, pairs, showTip } from '../ui/tip';

/** Who calls whom, as wide as what they allocate. */

type Metric = 'bytes' | 'allocs' | 'peak' | 'live' | 'temporary';

type Datum = FlameDatum<FlameNode>;

const METRICS: readonly (readonly [Metric, string])[] = [
    ['bytes', 'Bytes'],
    ['allocs', 'Counts'],
    ['peak', 'At the peak'],
    ['live', 'Live at the end'],
    ['temporary', 'Temporary'],
];

const ROW = 19;
/** Frames narrower than this many pixels are not drawn. */
const LEAST_PIXELS = 1;
/** As many as are laid out within a blink. */
const MOST_FRAMES = 1500;

export class FlameGraph implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly holder = el('div', {
        class: 'flame',
        tabindex: 0,
        role: 'group',
        'aria-label': 'Flame graph: arrow keys move, Enter zooms in, Backspace zooms out',
    });
    private readonly status = el('output', { class: 'status' });
    private readonly out: HTMLButtonElement;
    private readonly chart: FlameChart<FlameNode>;
    private metric: Metric = 'bytes';
    private isInverted = false;
    private focus: Path = [];
    private term = '';
    private current: Datum | null = null;
    private total = 0;

    constructor(report: Report) {
        this.report = report;
        this.out = button('Zoom out', () => this.zoomTo([]), { disabled: true });
        this.root = el('div', { class: 'flame-view' }, this.toolbar(), this.holder, this.status);
        this.chart = flamegraph<FlameNode>()
            .cellHeight(ROW)
            .inverted(true)
            .resetHeightOnZoom(true)
            .transitionDuration(0)
            .minFrameSize(LEAST_PIXELS)
            .sort(false)
            .setColorMapper((d) => this.colourOf(d))
            .setSearchMatch((d, term) => this.isMatch(d, term))
            .setSearchHandler((_, sum) => this.tellFound(sum))
            .tooltip(this.tip());
        this.holder.addEventListener('click', (event) => this.onClick(event), { capture: true });
        this.holder.addEventListener('keydown', (event) => this.onKey(event));
        new ResizeObserver(() => this.resize()).observe(this.holder);
        onTheme(() => this.redraw());
    }

    update(): void {
        this.redraw();
    }

    private toolbar(): HTMLElement {
        const search = el('input', {
            type: 'search',
            placeholder: 'Search functions, files',
            'aria-label': 'Search the flame graph',
        });
        search.addEventListener('input', () => {
            this.term = search.value.trim().toLowerCase();
            this.redraw();
        });
        const inverted = button(
            'Inverted',
            () => {
                this.isInverted = !this.isInverted;
                inverted.setAttribute('aria-pressed', String(this.isInverted));
                this.zoomTo([]);
            },
            {
                class: 'toggle',
                'aria-pressed': 'false',
                'data-value': 'inverted',
                title: 'Allocating functions first, their callers below them',
            },
        );
        const metrics = segments('What the widths stand for', METRICS, this.metric, (metric) => {
            this.metric = metric;
            this.redraw();
        });
        return el('div', { class: 'toolbar' }, metrics, inverted, search, this.out);
    }

    private values(): Float64Array {
        return this.report.figures.nodes[this.metric satisfies keyof NodeFigures];
    }

    private redraw(): void {
        const width = this.holder.clientWidth;
        if (width === 0) {
            return;
        }
        this.current = null;
        const tree = flameTree(this.report.recording, this.values(), {
            isInverted: this.isInverted,
            focus: this.focus,
            least: LEAST_PIXELS / width,
            most: MOST_FRAMES,
        });
        this.out.disabled = this.focus.length === 0;
        this.holder.dataset['total'] = String(tree?.value ?? 0);
        this.holder.classList.toggle('is-empty', tree === null);
        this.total = tree?.value ?? 0;
        this.draw(width, tree ?? { name: 'all', value: 0, children: [], frame: ROOT });
        this.tellTotal();
        if (this.term !== '') {
            this.chart.search(this.term);
        }
    }

    private draw(width: number, tree: FlameNode): void {
        const isFirst = this.holder.childElementCount === 0;
        this.chart.width(width);
        if (isFirst) {
            select(this.holder).datum(tree).call(this.chart);
        } else {
            this.chart.update(tree);
        }
    }

    private resize(): void {
        if (this.holder.childElementCount > 0 && this.holder.clientWidth !== this.chart.width()) {
            this.redraw();
        }
    }

    private tellTotal(): void {
        const allocations = this.total === 1 ? 'allocation' : 'allocations';
        const what: Record<Metric, string> = {
            bytes: 'asked for in the range',
            allocs: `${allocations} in the range`,
            peak: this.report.figures.peak.isExact
                ? 'live at the peak'
                : 'live at the end of the fullest bin of the range',
            live: 'live at the end of the range',
            temporary: `temporary ${allocations} in the range`,
        };
        this.status.textContent =
            this.total > 0
                ? `${this.show(this.total)} ${what[this.metric]}`
                : `Nothing: no ${what[this.metric].replace('asked for', 'bytes asked for')}.`;
    }

    private tellFound(sum: number): void {
        this.status.textContent = `“${this.term}”: ${this.show(sum)}, ${format.percent(sum / this.shown())} of what is shown`;
    }

    private shown(): number {
        const root = select<HTMLElement, Datum>(this.holder).datum();
        return root.value || this.total;
    }

    private show(value: number): string {
        const isCount = this.metric === 'allocs' || this.metric === 'temporary';
        const text = isCount ? format.count(value) : format.bytes(value);
        return format.estimate(text, this.report.recording.isSampled);
    }

    private isMatch(d: Datum, term: string): boolean {
        const { frame, name } = d.data;
        if (frame < 0) {
            return false;
        }
        const { recording } = this.report;
        return (
            name.toLowerCase().includes(term) ||
            recording.placeOf(frame, true).toLowerCase().includes(term)
        );
    }

    /** A hue for each module, a shade for each function; what a search found stands out. */
    private colourOf(d: Datum): string {
        const { frame, name } = d.data;
        if (d.highlight === true) {
            return isDark() ? '#a8328e' : '#f29be0';
        }
        if (frame < 0) {
            return isDark() ? '#2c3540' : '#dfe4ea';
        }
        const hue = hueOf(this.report.recording.moduleOf(frame));
        const shade = hueOf(name) % 12;
        return isDark() ? `hsl(${hue} 34% ${27 + shade}%)` : `hsl(${hue} 58% ${86 - shade}%)`;
    }

    private tip(): FlameTip<FlameNode> {
        const show = (event: MouseEvent, d: Datum): void =>
            showTip(event.clientX, event.clientY, ...this.tipText(d));
        return Object.assign(() => undefined, { show, hide: hideTip, destroy: hideTip });
    }

    private tipText(d: Datum): (Node | string)[] {
        const { recording } = this.report;
        const { frame, name, value } = d.data;
        const own = d.data.children.reduce((rest, child) => rest - child.value, value);
        const entries: [string, string][] = [
            ['with callees', `${this.show(value)} (${format.percent(value / this.total)})`],
        ];
        if (this.isInverted) {
            entries[0][0] = 'through here';
        } else if (d.data.fade !== true) {
            entries.push(['itself, and too narrow to see', this.show(Math.max(own, 0))]);
        }
        if (frame >= 0) {
            entries.unshift(
                ['place', recording.placeOf(frame, true) || '–'],
                ['module', recording.moduleOf(frame) || '–'],
            );
        }
        return [el('strong', {}, name), pairs(entries)];
    }

    private onClick(event: Event): void {
        const group = (event.target as Element).closest<SVGGElement>('g.frame');
        if (group === null) {
            return;
        }
        const datum = select<SVGGElement, Datum>(group).datum();
        // The library's own zoom only stretches what is drawn; ours draws what was too narrow
        // before.
        event.stopPropagation();
        hideTip();
        this.zoomTo(
            pathOf(datum.data.frame === NARROW && datum.parent !== null ? datum.parent : datum),
        );
    }

    private zoomTo(path: Path): void {
        this.focus = path;
        this.redraw();
    }

    private onKey(event: KeyboardEvent): void {
        const current = this.current;
        const root = select<HTMLElement, Datum>(this.holder).datum();
        switch (event.key) {
            case 'ArrowDown':
                this.setCurrent(current === null ? root : (current.children?.[0] ?? current));
                break;
            case 'ArrowUp':
                this.setCurrent(current?.parent ?? root);
                break;
            case 'ArrowLeft':
            case 'ArrowRight':
                this.setCurrent(siblingOf(current ?? root, event.key === 'ArrowRight' ? 1 : -1));
                break;
            case 'Enter':
                this.zoomTo(current === null ? [] : pathOf(current));
                break;
            case 'Backspace':
                this.zoomTo(this.focus.slice(0, -1));
                break;
            default:
                return;
        }
        event.preventDefault();
    }

    private setCurrent(d: Datum): void {
        this.current = d;
        select(this.holder)
            .selectAll<SVGGElement, Datum>('g.frame')
            .classed('is-current', (other) => other === d)
            .filter((other) => other === d)
            .each(function () {
                this.scrollIntoView({ block: 'nearest' });
            });
        this.status.textContent = `${d.data.name}: ${this.show(d.data.value)} (${format.percent(d.data.value / this.total)})`;
    }
}

function pathOf(d: Datum): Path {
    const path: number[] = [];
    for (let at: Datum | null = d; at !== null && at.data.frame >= 0; at = at.parent) {
        path.unshift(at.data.frame);
    }
    return path;
}

function siblingOf(d: Datum, step: number): Datum {
    const siblings = d.parent?.children ?? [d];
    return siblings[siblings.indexOf(d) + step] ?? d;
}
