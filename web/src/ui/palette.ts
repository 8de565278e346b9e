// SPDX-License-Identifier: MIT

/** Colours of data. They are told apart by people who see few colours, on light and dark ground. */

/** Red, green, blue: 0 to 255. */
export type Rgb = readonly [number, number, number];

// Points of viridis (Smith, van der Walt, Firing), from low to high.
const RAMP: readonly Rgb[] = [
    [72, 35, 116],
    [64, 67, 135],
    [52, 94, 141],
    [41, 120, 142],
    [32, 144, 140],
    [34, 167, 132],
    [68, 190, 112],
    [121, 209, 81],
    [189, 222, 38],
    [253, 231, 37],
];

// Tableau's ten and two more; the last of each palette is for "others".
const DISTINCT: readonly Rgb[] = [
    [78, 121, 167],
    [242, 142, 43],
    [89, 161, 79],
    [225, 87, 89],
    [118, 183, 178],
    [237, 201, 72],
    [176, 122, 161],
    [255, 157, 167],
    [156, 117, 95],
    [60, 170, 230],
    [158, 202, 60],
    [130, 100, 210],
];

export const OTHERS: Rgb = [163, 148, 134];
export const DISTINCT_COUNT = DISTINCT.length;

/** From low (0) to high (1). */
export function ramp(share: number): Rgb {
    const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
    const low = Math.min(Math.floor(at), RAMP.length - 2);
    const [a, b] = [RAMP[low], RAMP[low + 1]];
    const mix = (i: 0 | 1 | 2): number => Math.round(a[i] + (b[i] - a[i]) * (at - low));
    return [mix(0), mix(1), mix(2)];
}

export function distinct(index: number): Rgb {
    return DISTINCT[index] ?? OTHERS;
}

export function css([red, green, blue]: Rgb): string {
    return `rgb(${red} ${green} ${blue})`;
}

/** Parses "#rrggbb", which is how the style sheet writes its colours. */
export function rgbOf(hex: string): Rgb {
    const value = Number.parseInt(hex.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
}

/** A calm colour for a name, the same in every report: hue by name, one lightness. */
export function hueOf(name: string): number {
    let hash = 2166136261;
    for (let i = 0; i < name.length; i++) {
        hash = Math.imul(hash ^ name.charCodeAt(i), 16777619);
    }
    return (hash >>> 0) % 360;
}
