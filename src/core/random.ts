/** State of a {@link Random}: four unsigned 32-bit words; a run stores it to go on exactly where it stopped. */
export type RandomState = readonly [number, number, number, number];

/**
 * Seeded random numbers, the same on every machine and run: xoshiro128** (Blackman & Vigna 2018), seeded through
 * splitmix32. Never Math.random: every draw of the program can be repeated.
 */
export class Random {
  private constructor(private readonly words: Uint32Array) {}

  /** A stream for a seed and, where several independent streams are wanted, a name for each. */
  static seeded(seed: number, ...names: readonly (string | number)[]): Random {
    let hash = seed >>> 0;
    for (const name of names) hash = mix(hash ^ fnv1a(String(name)));
    const words = new Uint32Array(4);
    for (let i = 0; i < 4; i++) {
      hash = (hash + 0x9e3779b9) >>> 0;
      words[i] = mix(hash);
    }
    return new Random(words);
  }

  static fromState(state: RandomState): Random {
    return new Random(Uint32Array.from(state));
  }

  get state(): RandomState {
    const [a, b, c, d] = this.words;
    return [a, b, c, d];
  }

  /** Uniform 32-bit word. */
  word(): number {
    const s = this.words;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.word() / 4294967296);
  }

  /** Uniform whole number in [0, n). */
  integer(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** Normal with mean and standard deviation (Box-Muller, one of the pair: no hidden state). */
  normal(mean = 0, sd = 1): number {
    const u = 1 - this.uniform();
    return mean + sd * Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)];
  }
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}

function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
