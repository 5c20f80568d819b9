/** `gradcam` as people write it. */
export function methodName(method: string): string {
  return { gradcam: 'Grad-CAM', hirescam: 'HiResCAM' }[method] ?? method;
}
