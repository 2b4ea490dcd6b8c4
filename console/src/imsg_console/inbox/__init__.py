"""What the sandbox's page is made of: mails, SMS, a WeChat chat, faults."""
