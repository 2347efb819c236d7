export const CMDLINE = 'earlyprintk=serial,ttyS0,115200 console=ttyS0 nokaslr';
