// What `tools/inline.js` writes beside the compiled files.
declare const base64: string;
export default base64;
