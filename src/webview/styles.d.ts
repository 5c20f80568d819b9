/** Style sheets are bundled beside the script (scripts/build.mjs). */
declare module '*.css';
