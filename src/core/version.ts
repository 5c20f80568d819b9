import manifest from '../../package.json';

/** Version of the program, written into every record. */
export const VERSION: string = manifest.version;
