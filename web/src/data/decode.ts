// SPDX-License-Identifier: MIT

import { Container } from './container';
import { Fault, damaged } from './fault';
import { Recording } from './recording';

/** From the text in the page to the recording. */

export type Progress = (text: string) => void;

/** Characters of base64 that are decoded at once; a multiple of 4. */
const PIECE = 1 << 20;

export async function decodeRecording(base64: string, progress: Progress): Promise<Recording> {
    if (typeof DecompressionStream === 'undefined') {
        throw new Fault(
            'This browser cannot unpack the data of this report (it has no DecompressionStream).',
            'Open the file in Firefox 113, Chrome 80, Edge 80, Safari 16.4, or a later one.',
        );
    }
    const buffer = await inflate(base64, progress);
    progress('Reading the recording…');
    return new Recording(new Container(buffer));
}

/** Unpacks piece by piece, so that neither the text nor the packed bytes are ever held twice. */
async function inflate(base64: string, progress: Progress): Promise<ArrayBuffer> {
    const stream = new DecompressionStream('deflate');
    const pieces: Uint8Array[] = [];
    let total = 0;
    const reading = (async () => {
        const reader = stream.readable.getReader();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) {
                return;
            }
            pieces.push(value);
            total += value.length;
        }
    })();
    const writing = write(stream.writable.getWriter(), base64, progress);
    try {
        await Promise.all([reading, writing]);
    } catch (error) {
        // The other half fails of the same cause; it has been told of once.
        await Promise.allSettled([reading, writing]);
        throw error instanceof Fault ? error : damaged('it cannot be unpacked');
    }
    return joined(pieces, total);
}

async function write(
    writer: WritableStreamDefaultWriter<BufferSource>,
    base64: string,
    progress: Progress,
): Promise<void> {
    for (let at = 0; at < base64.length; at += PIECE) {
        progress(`Unpacking… ${Math.floor((100 * at) / base64.length)} %`);
        let bytes: Uint8Array<ArrayBuffer>;
        try {
            bytes = bytesOf(base64.slice(at, at + PIECE));
        } catch {
            await writer.abort('no base64');
            throw damaged('it is no base64');
        }
        await writer.write(bytes);
    }
    await writer.close();
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
    const binary = atob(base64);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) {
        bytes[i] = binary.charCodeAt(i);
    }
    return bytes;
}

function joined(pieces: Uint8Array[], total: number): ArrayBuffer {
    const all = new Uint8Array(total);
    let at = 0;
    for (const piece of pieces) {
        all.set(piece, at);
        at += piece.length;
    }
    return all.buffer;
}
