// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import { addressAt, rectAt } from '../data/map_pick';
import type { MapCells, Recording } from '../data/recording';
import type { Report } from '../data/report';
import { Window } from '../data/window';
import { button, el, fill, oncePerFrame, segments } from '../ui/dom';
import { type MapColour, MapColours } from '../ui/map_colours';
import { type Rgb, css } from '../ui/palette';
import type { View } from '../ui/tabs';
import { colour, onTheme } from '../ui/theme';
import { hideTip, pairs, showTip } from '../ui/tip';

/** Addresses against time: where the blocks are, and where nothing is. */

const COLOURS: readonly (readonly [MapColour, string])[] = [
    ['size', 'Size'],
    ['age', 'Age'],
    ['thread', 'Thread'],
    ['site', 'Call site'],
];

const LEFT = 72;
const BOTTOM = 22;
const RIGHT = 22;
const TOP = 6;
/** Blocks are drawn exactly when a column or a row of the map is wider than this many pixels. */
const EXACT_FROM = 3;
/** What the arrow keys and the wheel do, as shares and factors. */
const PAN_STEP = 0.1;
const ZOOM_STEP = 1.4;

export class HeapMap implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly recording: Recording;
    private readonly map: MapCells;
    private readonly window: Window;
    private readonly canvas = el('canvas', {
        tabindex: 0,
        role: 'img',
        'aria-label': 'Heap map: arrow keys pan, plus and minus zoom, 0 shows all',
    });
    private readonly legend = el('div', { class: 'map-legend' });
    private readonly seen = el('output', { class: 'status' });
    private readonly image = document.createElement('canvas');
    private readonly draw = oncePerFrame(() => this.paint());
    private colours: MapColours | null = null;
    private mode: MapColour = 'size';
    private width = 0;
    private height = 0;

    constructor(report: Report, map: MapCells) {
        this.report = report;
        this.recording = report.recording;
        this.map = map;
        this.window = new Window(map.columns, map.rows);
        this.image.width = map.columns;
        this.image.height = map.rows;
        const holder = el('div', { class: 'map' }, this.canvas);
        this.root = el(
            'div',
            { class: 'map-view' },
            this.toolbar(),
            holder,
            this.legend,
            this.seen,
            map.unplaced === 0
                ? null
                : el('p', { class: 'note unplaced' }, this.unplacedText(map.unplaced)),
        );
        this.listen();
        new ResizeObserver(() => this.resize(holder)).observe(holder);
        onTheme(() => this.recolour());
    }

    /** Follows the selected range: it fills the width. */
    update(): void {
        if (this.colours === null) {
            this.colours = new MapColours(this.recording, this.map);
            this.recolour();
        }
        const { begin, end } = this.report.selection.range;
        const perBin = this.recording.binNs / this.map.nsPerColumn;
        this.window.show(begin * perBin, end * perBin, this.window.y0, this.window.y1);
        this.draw();
    }

    private toolbar(): HTMLElement {
        const zoom = (factor: number) => () => {
            this.window.zoom(factor, factor, 0.5, 0.5);
            this.draw();
        };
        return el(
            'div',
            { class: 'toolbar' },
            segments('Colour by', COLOURS, this.mode, (mode) => {
                this.mode = mode;
                this.recolour();
            }),
            button('−', zoom(1 / ZOOM_STEP), { 'aria-label': 'Zoom out' }),
            button('+', zoom(ZOOM_STEP), { 'aria-label': 'Zoom in' }),
            button('Show all', () => this.showAll(), { title: 'Double-click' }),
            button('Select what is seen', () => this.selectSeen(), {
                title: 'Make the time that is seen the selected range',
            }),
            el(
                'span',
                { class: 'note' },
                `${this.map.layout || 'addresses'} · wheel zooms (Shift: time, Alt: addresses), drag pans`,
            ),
        );
    }

    private unplacedText(unplaced: number): string {
        return `${format.counted(unplaced, 'block has', 'blocks have')} no place in this layout and ${unplaced === 1 ? 'is' : 'are'} not shown; other figures count ${unplaced === 1 ? 'it' : 'them'}.`;
    }

    private showAll(): void {
        this.window.reset();
        this.draw();
    }

    private selectSeen(): void {
        const perBin = this.recording.binNs / this.map.nsPerColumn;
        this.report.selection.select(this.window.x0 / perBin, this.window.x1 / perBin);
    }

    private recolour(): void {
        if (this.colours === null) {
            return;
        }
        this.image.getContext('2d')?.putImageData(this.colours.paint(this.mode), 0, 0);
        const entries = [
            ...this.colours
                .legend(this.mode)
                .map(({ colour: rgb, text }) => [css(rgb), text] as const),
            ['var(--map-free)', 'free, held'] as const,
            ['var(--map-none)', 'not held'] as const,
        ];
        fill(
            this.legend,
            ...entries.map(([background, text]) =>
                el(
                    'span',
                    { title: text },
                    el('span', { class: 'swatch', style: `background: ${background}` }),
                    text,
                ),
            ),
        );
        this.draw();
    }

    private resize(holder: HTMLElement): void {
        this.width = holder.clientWidth;
        this.height = holder.clientHeight;
        this.canvas.width = Math.round(this.width * devicePixelRatio);
        this.canvas.height = Math.round(this.height * devicePixelRatio);
        // At once: an emptied canvas would flicker.
        this.paint();
    }

    // --- drawing ---

    private get plotWidth(): number {
        return this.width - LEFT - RIGHT;
    }

    private get plotHeight(): number {
        return this.height - TOP - BOTTOM;
    }

    private xOf(column: number): number {
        return (
            LEFT + ((column - this.window.x0) / (this.window.x1 - this.window.x0)) * this.plotWidth
        );
    }

    private yOf(row: number): number {
        return (
            TOP + (1 - (row - this.window.y0) / (this.window.y1 - this.window.y0)) * this.plotHeight
        );
    }

    private paint(): void {
        const context = this.canvas.getContext('2d');
        if (
            context === null ||
            this.colours === null ||
            this.plotWidth <= 0 ||
            this.plotHeight <= 0
        ) {
            return;
        }
        context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
        context.clearRect(0, 0, this.width, this.height);
        context.save();
        context.beginPath();
        context.rect(LEFT, TOP, this.plotWidth, this.plotHeight);
        context.clip();
        this.paintCells(context);
        const rects = this.isExact() ? this.paintRects(context, this.colours) : 0;
        context.restore();
        this.paintAxes(context);
        this.tellSeen(rects);
    }

    private paintCells(context: CanvasRenderingContext2D): void {
        const { x0, x1, y0, y1 } = this.window;
        const isMagnified = this.plotWidth > x1 - x0 && this.plotHeight > y1 - y0;
        context.imageSmoothingEnabled = !isMagnified;
        context.imageSmoothingQuality = 'high';
        context.drawImage(
            this.image,
            x0,
            this.map.rows - y1,
            x1 - x0,
            y1 - y0,
            LEFT,
            TOP,
            this.plotWidth,
            this.plotHeight,
        );
    }

    private isExact(): boolean {
        const { x0, x1, y0, y1 } = this.window;
        return this.plotWidth > EXACT_FROM * (x1 - x0) || this.plotHeight > EXACT_FROM * (y1 - y0);
    }

    private paintRects(context: CanvasRenderingContext2D, colours: MapColours): number {
        const { rects } = this.recording;
        if (rects === null) {
            return 0;
        }
        const { nsPerColumn, bytesPerRow } = this.map;
        const [t0, t1] = [this.window.x0 * nsPerColumn, this.window.x1 * nsPerColumn];
        const [a0, a1] = [this.window.y0 * bytesPerRow, this.window.y1 * bytesPerRow];
        let drawn = 0;
        for (let i = 0; i < rects.count; i++) {
            const top = rects.address[i] + rects.size[i];
            if (rects.end[i] <= t0 || rects.begin[i] >= t1 || top <= a0 || rects.address[i] >= a1) {
                continue;
            }
            const left = Math.max(this.xOf(rects.begin[i] / nsPerColumn), LEFT - 2);
            const right = Math.min(this.xOf(rects.end[i] / nsPerColumn), this.width + 2);
            const high = Math.max(this.yOf(top / bytesPerRow), TOP - 2);
            const low = Math.min(this.yOf(rects.address[i] / bytesPerRow), this.height + 2);
            if (right - left < 0.5 || low - high < 0.5) {
                continue;
            }
            context.fillStyle = css(this.rectColour(colours, i, Math.min(rects.end[i], t1)));
            context.fillRect(left, high, right - left, low - high);
            if (right - left > 4 && low - high > 4) {
                context.strokeStyle = 'rgb(0 0 0 / 30%)';
                context.strokeRect(left + 0.5, high + 0.5, right - left - 1, low - high - 1);
            }
            drawn++;
        }
        return drawn;
    }

    private rectColour(colours: MapColours, i: number, seenUntil: number): Rgb {
        const rects = this.recording.rects as NonNullable<Recording['rects']>;
        switch (this.mode) {
            case 'size':
                return colours.ofSize(Math.floor(Math.log2(Math.max(rects.size[i], 1))));
            case 'age':
                return colours.ofAge((seenUntil - rects.begin[i]) / this.map.nsPerColumn);
            case 'thread':
                return colours.ofThread(rects.thread[i]);
            case 'site':
                return colours.ofNode(rects.node[i]);
        }
    }

    private paintAxes(context: CanvasRenderingContext2D): void {
        const { nsPerColumn, bytesPerRow } = this.map;
        context.strokeStyle = colour('border');
        context.strokeRect(LEFT - 0.5, TOP - 0.5, this.plotWidth + 1, this.plotHeight + 1);
        context.fillStyle = colour('muted');
        context.font = '11px system-ui, sans-serif';
        context.textBaseline = 'middle';
        context.textAlign = 'right';
        const rows = ticks(
            this.window.y0 * bytesPerRow,
            this.window.y1 * bytesPerRow,
            this.plotHeight / 44,
            2,
        );
        for (const at of rows.values) {
            context.fillText(
                `+${format.bytesWithin(at, rows.step)}`,
                LEFT - 6,
                this.yOf(at / bytesPerRow),
            );
        }
        context.textAlign = 'center';
        const seconds = nsPerColumn / 1e9;
        const columns = ticks(
            this.window.x0 * seconds,
            this.window.x1 * seconds,
            this.plotWidth / 110,
            10,
        );
        for (const at of columns.values) {
            context.fillText(
                `${Number(at.toPrecision(9))} s`,
                this.xOf(at / seconds),
                this.height - BOTTOM / 2,
            );
        }
    }

    private tellSeen(rects: number): void {
        const { x0, x1, y0, y1 } = this.window;
        const { nsPerColumn, bytesPerRow } = this.map;
        const time = `${format.moment(x0 * nsPerColumn, nsPerColumn)} – ${format.moment(x1 * nsPerColumn, nsPerColumn)}`;
        const seen = (y1 - y0) * bytesPerRow;
        const addresses = `+${format.bytesWithin(y0 * bytesPerRow, seen / 100)} – +${format.bytesWithin(y1 * bytesPerRow, seen / 100)}`;
        const exact = rects > 0 ? ` · ${format.counted(rects, 'block')} drawn exactly` : '';
        this.seen.textContent = `Seen: ${time}, ${addresses}${exact}`;
        Object.assign(this.canvas.dataset, { x0, x1, y0, y1, rects });
    }

    // --- the pointer and the keys ---

    private listen(): void {
        this.canvas.addEventListener('wheel', (event) => this.onWheel(event), { passive: false });
        this.canvas.addEventListener('pointerdown', (event) => this.onDown(event));
        this.canvas.addEventListener('pointermove', (event) => this.onMove(event));
        this.canvas.addEventListener('pointerleave', hideTip);
        this.canvas.addEventListener('dblclick', () => this.showAll());
        this.canvas.addEventListener('keydown', (event) => this.onKey(event));
    }

    private onWheel(event: WheelEvent): void {
        event.preventDefault();
        hideTip();
        // Shift makes browsers report a sideways wheel.
        const factor = Math.exp(
            -(event.deltaY || event.deltaX) * (event.deltaMode === 1 ? 0.05 : 0.002),
        );
        const x = (event.offsetX - LEFT) / this.plotWidth;
        const y = 1 - (event.offsetY - TOP) / this.plotHeight;
        this.window.zoom(event.altKey ? 1 : factor, event.shiftKey ? 1 : factor, x, y);
        this.draw();
    }

    private onDown(event: PointerEvent): void {
        if (event.button === 0) {
            this.canvas.setPointerCapture(event.pointerId);
            this.canvas.classList.add('is-panning');
            const stop = (): void => this.canvas.classList.remove('is-panning');
            this.canvas.addEventListener('lostpointercapture', stop, { once: true });
        }
    }

    private onMove(event: PointerEvent): void {
        if (this.canvas.hasPointerCapture(event.pointerId)) {
            hideTip();
            this.window.pan(-event.movementX / this.plotWidth, event.movementY / this.plotHeight);
            this.draw();
        } else {
            this.hover(event);
        }
    }

    private onKey(event: KeyboardEvent): void {
        const moves: Record<string, () => void> = {
            ArrowLeft: () => this.window.pan(-PAN_STEP, 0),
            ArrowRight: () => this.window.pan(PAN_STEP, 0),
            ArrowUp: () => this.window.pan(0, PAN_STEP),
            ArrowDown: () => this.window.pan(0, -PAN_STEP),
            '+': () => this.window.zoom(ZOOM_STEP, ZOOM_STEP, 0.5, 0.5),
            '=': () => this.window.zoom(ZOOM_STEP, ZOOM_STEP, 0.5, 0.5),
            '-': () => this.window.zoom(1 / ZOOM_STEP, 1 / ZOOM_STEP, 0.5, 0.5),
            '0': () => this.window.reset(),
        };
        const move = moves[event.key];
        if (move !== undefined && !event.ctrlKey && !event.metaKey) {
            event.preventDefault();
            move();
            this.draw();
        }
    }

    private hover(event: PointerEvent): void {
        const shareX = (event.offsetX - LEFT) / this.plotWidth;
        const shareY = 1 - (event.offsetY - TOP) / this.plotHeight;
        if (shareX < 0 || shareX >= 1 || shareY < 0 || shareY >= 1) {
            hideTip();
            return;
        }
        const { x0, x1, y0, y1 } = this.window;
        const column = x0 + shareX * (x1 - x0);
        const row = y0 + shareY * (y1 - y0);
        showTip(event.clientX, event.clientY, ...this.describe(column, row));
    }

    private describe(column: number, row: number): Node[] {
        const { nsPerColumn, bytesPerRow } = this.map;
        const { rects } = this.recording;
        const [time, offset] = [column * nsPerColumn, row * bytesPerRow];
        const rect = rects === null ? -1 : rectAt(rects, time, offset);
        return rect >= 0
            ? this.describeRect(rect, time)
            : this.describeCell(Math.floor(column), Math.floor(row));
    }

    private describeRect(i: number, time: number): Node[] {
        const rects = this.recording.rects as NonNullable<Recording['rects']>;
        const life =
            rects.leaked[i] !== 0 ? 'never freed' : format.duration(rects.end[i] - rects.begin[i]);
        return [
            el('strong', {}, 'Block'),
            pairs([
                ['address', this.addressText(rects.address[i])],
                ['size', `${format.bytes(rects.size[i])} (${format.exactBytes(rects.size[i])})`],
                ['allocated at', format.moment(rects.begin[i], this.recording.curve.widthNs)],
                ['age here', format.duration(time - rects.begin[i])],
                ['lifetime', life],
                ['thread', this.recording.threadName(rects.thread[i])],
                ...this.siteEntries(rects.node[i]),
            ]),
        ];
    }

    private describeCell(x: number, y: number): Node[] {
        const { map } = this;
        const cell = x * map.rows + y;
        const place = this.addressText(y * map.bytesPerRow);
        if (map.used[cell] === 0) {
            const { low, high } = (this.colours as MapColours).extent;
            const isHeld = y >= low[x] && y < high[x];
            return [
                el('strong', {}, isHeld ? 'Free space in the footprint' : 'Not held'),
                pairs([['address', place]]),
            ];
        }
        return [
            el(
                'strong',
                {},
                `${format.bytes(map.bytesPerRow)} of addresses, ${format.percent(map.used[cell] / 255)} used`,
            ),
            pairs([
                ['address', place],
                [
                    'mostly of size',
                    `${format.bytes(2 ** map.size[cell])} – ${format.bytes(2 ** (map.size[cell] + 1))}`,
                ],
                [
                    'age',
                    `about ${format.duration(Math.max(x - map.born[cell], 0) * map.nsPerColumn)}`,
                ],
                [
                    'thread',
                    map.thread[cell] === 255
                        ? 'other threads'
                        : this.recording.threadName(map.thread[cell]),
                ],
                ...this.siteEntries(map.node[cell]),
            ]),
        ];
    }

    private addressText(offset: number): string {
        const address = addressAt(this.map, offset);
        const distance = `+${format.bytes(offset)}`;
        return address === null ? distance : `${format.address(address)} (${distance})`;
    }

    private siteEntries(node: number): [string, string][] {
        const frame = this.recording.nodes.frame[node];
        return [
            ['call site', this.recording.functionOf(frame)],
            ['at', this.recording.whereOf(frame) || '–'],
        ];
    }
}

/** Round values between two ends, at most about `most` of them. */
function ticks(
    low: number,
    high: number,
    most: number,
    base: 2 | 10,
): { step: number; values: number[] } {
    const rough = (high - low) / Math.max(most, 1);
    const unit = base ** Math.floor(Math.log(rough) / Math.log(base));
    const factors = base === 10 ? [1, 2, 5, 10] : [1, 2];
    const step = unit * (factors.find((factor) => unit * factor >= rough) ?? base);
    const values: number[] = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
        values.push(at);
    }
    return { step, values };
}
