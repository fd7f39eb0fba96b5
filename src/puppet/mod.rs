mod puppetfile;
